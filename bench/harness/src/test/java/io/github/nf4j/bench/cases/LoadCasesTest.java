package io.github.nf4j.bench.cases;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.result.CaseResult.Verify;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// On a model of two small layers.
class LoadCasesTest {
    private static final Model TINY = new Model("tiny", 2, 64, 128, 2, 1, 32, 512, false);

    private static BenchCase benchCase(String op) {
        return LoadCases.of(TINY, TINY.layers()).stream().filter(one -> one.op().equals(op)).findFirst().orElseThrow();
    }

    /// What the case says of its own result, after something was done to the files of its first slot.
    private static Verify verify(String op, FolderCall damage) throws IOException {
        BenchCase benchCase = benchCase(op);
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream();
                Buffers buffers = new Buffers(stream, 2, 1);
                Verifier verifier = new Verifier(stream, DType.F32)) {
            Set<Path> before = temporaryFolders();
            Subject subject = benchCase.prepare().apply(buffers);
            Set<Path> made = temporaryFolders();
            made.removeAll(before);
            for (Path folder : made) {
                damage.on(folder);
            }
            subject.call().accept(1);
            subject.verify().accept(verifier);
            return verifier.result();
        }
    }

    @FunctionalInterface
    private interface FolderCall {
        void on(Path folder) throws IOException;
    }

    private static Set<Path> temporaryFolders() throws IOException {
        String prefix = "nf4j-bench-" + ProcessHandle.current().pid() + "-";
        try (java.util.stream.Stream<Path> files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            return new HashSet<>(files.filter(file -> file.getFileName().toString().startsWith(prefix)).toList());
        }
    }

    @Test
    void everyCaseIsRightAndLeavesNoFiles() throws IOException {
        Set<Path> before = temporaryFolders();
        for (BenchCase one : LoadCases.of(TINY, TINY.layers())) {
            Verify verify = verify(one.op(), folder -> {
            });
            assertTrue(verify.ok() && verify.rows() > 0, () -> one.op() + " " + verify);
        }
        assertEquals(before, temporaryFolders());
    }

    /// The files are as large as the work says, but for their headers.
    @Test
    void theWorkIsTheBytesOfTheWeights(@TempDir Path folder) throws IOException {
        SyntheticModel model = new SyntheticModel(TINY, TINY.layers(), 1);
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            Path dense = Files.createDirectory(folder.resolve("dense"));
            model.writeSafetensors(dense);
            assertSize(model.safetensorsBytes(), dense.resolve("model.safetensors"), 4096);
            Path packed = Files.createDirectory(folder.resolve("packed"));
            model.writeBitsandbytes(packed, stream);
            // each of the fourteen weights has tables of 1 KiB, a description, and seven names in the header
            assertSize(model.bitsandbytesBytes(), packed.resolve("model.safetensors"), 14 * 3072);
            model.writeGguf(folder.resolve("model.gguf"));
            assertSize(model.ggufBytes(), folder.resolve("model.gguf"), 32768);
        }
    }

    private static void assertSize(long wanted, Path file, long headers) throws IOException {
        long size = Files.size(file);
        assertTrue(size >= wanted && size - wanted < headers, () -> file + " has " + size + " bytes, and " + wanted + " were said");
    }

    /// Verification is worth something only if it fails.
    @ParameterizedTest
    @ValueSource(strings = {"load.safetensors", "load.safetensors_nf4", "load.gguf", "load.gguf_nf4", "load.bitsandbytes"})
    void aWeightThatIsReadWronglyVoidsTheRow(String op) throws IOException {
        Verify verify = verify(op, folder -> {
            for (Path file : TemporaryFolder.files(folder)) {
                if (file.toString().matches(".*\\.(safetensors|gguf)")) {
                    exchange(file);
                }
            }
        });
        assertFalse(verify.ok(), verify::toString);
    }

    /// Two neighbours near the end, where no format has norms: blocks in GGUF, elements or codes in the others.
    private static void exchange(Path file) throws IOException {
        int bytes = 34;
        try (RandomAccessFile weights = new RandomAccessFile(file.toFile(), "rw")) {
            byte[] one = new byte[bytes];
            byte[] other = new byte[bytes];
            weights.seek(weights.length() - 20 * bytes);
            weights.readFully(one);
            weights.readFully(other);
            weights.seek(weights.length() - 20 * bytes);
            weights.write(other);
            weights.write(one);
        }
    }

    @Test
    void anAdapterThatChangedOnTheWayVoidsTheRow() throws IOException {
        Verify verify = verify("load.adapter", folder -> {
            Path file = folder.resolve("adapter_model.safetensors");
            if (Files.exists(file)) {
                try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
                    bytes.seek(bytes.length() - 2);
                    int old = bytes.read();
                    bytes.seek(bytes.length() - 2);
                    bytes.write(old ^ 1);
                }
            }
        });
        assertFalse(verify.ok());
        assertNull(verify.value());
    }

    @Test
    void theTokenizersTextIsSplitIntoWordsOfItsVocabulary() {
        SyntheticTokenizer tokenizer = new SyntheticTokenizer(5000, 1);
        assertEquals(5000, tokenizer.vocabulary());
        String text = tokenizer.text(10_000);
        assertEquals(10_000, text.length());
        assertTrue(text.chars().allMatch(c -> c < 128), text);
        List<String> words = List.of(text.split("[^a-z]+"));
        assertTrue(new HashSet<>(words).size() > 100 && new HashSet<>(words).size() < words.size() / 2,
                "as in a language, some are frequent");
    }
}
