package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.JavaProcess;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Files are old or new, never in between.
class AtomicFileTest {
    private static final int BYTES = 1 << 20;
    private static final int KILLS = 12;

    @TempDir
    Path folder;

    /// Writes the file again and again, each time with another byte throughout. It runs in a process of its own, to be killed.
    public static void main(String[] arguments) throws IOException {
        Path file = Path.of(arguments[0]);
        for (byte content = 1;; content++) {
            write(file, content);
            System.out.println("written");
        }
    }

    private static void write(Path file, byte content) throws IOException {
        byte[] bytes = new byte[BYTES];
        Arrays.fill(bytes, content);
        AtomicFile.write(file, channel -> {
            for (int part = 0; part < 16; part++) { // a kill can come between any two
                AtomicFile.writeFully(channel, ByteBuffer.wrap(bytes, part * (BYTES / 16), BYTES / 16));
            }
        });
    }

    @Test
    void aKillAtAnyMomentLeavesTheOldFileOrTheNewOne() throws Exception {
        long seed = 20260104;
        Random random = new Random(seed);
        Path file = folder.resolve("file.bin");
        write(file, (byte) 0);
        Set<Byte> seen = new HashSet<>();
        for (int kill = 0; kill < KILLS; kill++) {
            List<String> command = new ArrayList<>(JavaProcess.command());
            command.addAll(List.of(AtomicFileTest.class.getName(), file.toString()));
            Process writer = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            assertEquals("written", writer.inputReader().readLine(), "the writer ended by itself");
            Thread.sleep(random.nextInt(40));
            writer.destroyForcibly().waitFor();
            byte[] bytes = Files.readAllBytes(file);
            byte[] expected = new byte[BYTES];
            Arrays.fill(expected, bytes[0]);
            assertArrayEquals(expected, bytes, "seed " + seed + ", kill " + kill);
            seen.add(bytes[0]);
        }
        assertTrue(seen.size() > 1, "every kill came at the same moment");
    }

    @Test
    void aFailureLeavesTheOldFileAndNothingElse() throws IOException {
        Path file = Files.writeString(folder.resolve("file.txt"), "old");
        IOException e = assertThrows(IOException.class, () -> AtomicFile.write(file, channel -> {
            AtomicFile.writeFully(channel, ByteBuffer.wrap(new byte[100]));
            throw new IOException("disk full");
        }));
        assertEquals("disk full", e.getMessage());
        assertEquals("old", Files.readString(file));
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(List.of(file), files.toList());
        }
    }

    /// Who may write into the folder could otherwise have any file of ours overwritten.
    @Test
    void aLinkInTheTemporaryFilesPlaceIsNotFollowed() throws IOException {
        Path victim = Files.writeString(folder.resolve("victim"), "precious");
        Files.createSymbolicLink(folder.resolve(".file.txt." + ProcessHandle.current().pid() + ".tmp"), victim);
        assertThrows(IOException.class, () -> AtomicFile.write(folder.resolve("file.txt"), "new"));
        assertEquals("precious", Files.readString(victim));
    }

    /// The file is replaced, not what a link in its place leads to.
    @Test
    void aLinkInTheFilesPlaceIsReplaced() throws IOException {
        Path other = Files.writeString(folder.resolve("other"), "precious");
        Path file = Files.createSymbolicLink(folder.resolve("file.txt"), other);
        AtomicFile.write(file, "new");
        assertEquals("new", Files.readString(file));
        assertEquals("precious", Files.readString(other));
    }
}
