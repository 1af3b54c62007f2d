package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Replays the inputs that fuzzing kept, and damages each at random: nothing but [FileFormatException] may come out, and soon.
class FuzzCorpusTest {
    private static final long SEED = 20260103;
    private static final int DAMAGED = 100;

    @TempDir
    Path folder;

    @ParameterizedTest
    @EnumSource
    void refusesOrReads(FuzzTarget.Format format) throws IOException {
        List<Path> corpus;
        try (Stream<Path> files = Files.list(Path.of("src", "test", "resources", "fuzz", format.folder()))) {
            corpus = files.sorted().toList();
        }
        assertFalse(corpus.isEmpty(), "no inputs for " + format);
        FuzzTarget target = new FuzzTarget(folder);
        int read = 0;
        for (Path input : corpus) {
            Random random = new Random(SEED);
            byte[] whole = Files.readAllBytes(input);
            for (int round = 0; round <= DAMAGED; round++) {
                byte[] bytes = round == 0 ? whole : damaged(whole, random);
                try {
                    read += assertTimeoutPreemptively(Duration.ofSeconds(20), () -> target.read(format, bytes)) ? 1 : 0;
                } catch (RuntimeException | AssertionError e) {
                    throw new AssertionError(input + ", seed " + SEED + ", round " + round, e);
                }
            }
        }
        int all = corpus.size() * (DAMAGED + 1);
        assertTrue(read > 0, "none of the inputs was read to its end");
        assertTrue(read < all, "none of the damaged inputs was refused");
    }

    private static byte[] damaged(byte[] whole, Random random) {
        byte[] bytes = whole.clone();
        for (int change = 0; change <= random.nextInt(3) && bytes.length > 0; change++) {
            bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
        }
        return random.nextInt(8) == 0 ? Arrays.copyOf(bytes, random.nextInt(bytes.length + 1)) : bytes;
    }
}
