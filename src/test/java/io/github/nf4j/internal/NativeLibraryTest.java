package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Nf4jException;
import io.github.nf4j.bindings.Nf4jH;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeLibraryTest {
    @TempDir
    Path folder;

    @Test
    void aGivenPathIsTheFileOrTheFolderThatHasIt() throws Exception {
        Path file = Files.createFile(folder.resolve("libnf4j.so"));
        LibraryCache unused = new LibraryCache(folder.resolve("cache"), true);
        assertEquals(file, NativeLibrary.locate(folder.toString(), unused));
        assertEquals(file, NativeLibrary.locate(file.toString(), unused));
    }

    @Test
    void aGivenPathThatIsNotThereIsNamedAndNothingElseIsTried() {
        LibraryCache unused = new LibraryCache(folder.resolve("cache"), true);
        String message = assertThrows(Nf4jException.class, () -> NativeLibrary.locate(folder + "/none", unused))
                .getMessage();
        assertTrue(message.contains("-Dnf4j.library.path=" + folder + "/none"), message);
        assertTrue(message.contains(folder + "/none does not exist"), message);
    }

    @Test
    void unpacksOncePerContentAndRepairsDamage() throws Exception {
        LibraryCache cache = new LibraryCache(folder.resolve("cache"), true);
        Path one = cache.unpack(new byte[] {1}, "libnf4j.so");
        var written = Files.getLastModifiedTime(one);
        Path two = cache.unpack(new byte[] {2}, "libnf4j.so");
        assertNotEquals(one, two);
        assertEquals(one, cache.unpack(new byte[] {1}, "libnf4j.so"));
        assertEquals(written, Files.getLastModifiedTime(one), "unpacked twice");
        Files.write(one, new byte[] {9, 9});
        assertArrayEquals(new byte[] {1}, Files.readAllBytes(cache.unpack(new byte[] {1}, "libnf4j.so")));
        try (Stream<Path> left = Files.list(one.getParent())) {
            assertEquals(List.of(one), left.toList(), "temporary files left behind");
        }
    }

    @Test
    void aFileThatIsNoLibraryFailsWithTheLoadersWordsAndTheFailureIsRemembered() throws Exception {
        Path file = Files.writeString(folder.resolve("libnf4j.so"), "not a library");
        String output = inNewJvm("-Dnf4j.library.path=" + file, Probe.class);
        assertTrue(output.contains("first: cannot load the native library of nf4j from " + file
                + ". The loader says: "), output);
        assertTrue(output.contains("invalid ELF header") || output.contains("file too short"), output);
        assertTrue(output.contains("second: cannot load the native library of nf4j from " + file), output);
        assertTrue(output.contains("cause: Nf4jException"), output);
    }

    @Test
    void theLibraryInTheJarIsUnpackedAndLoaded() throws Exception {
        String output = inNewJvm("-Dnf4j.cache.dir=" + folder, Probe.class);
        assertTrue(output.matches("(?s)first: " + folder + "/[0-9a-f]{16}/libnf4j.so\\s+second: " + folder + ".*"), output);
    }

    @Test
    void anotherLibraryIsRecognised() throws Exception {
        Path file = Path.of(System.getProperty("java.home"), "lib", "libprefs.so");
        String output = inNewJvm("-Dnf4j.library.path=" + file, Probe.class);
        assertTrue(output.contains(file + " is a library, but not that of nf4j"), output);
    }

    @Test
    void theLibraryOfAnotherAbiIsRefused() throws Exception {
        Path source = Files.writeString(folder.resolve("other.c"), "int nf4j_abi_version(void) { return 99; }\n");
        Path file = folder.resolve("libnf4j.so");
        Process compiler = new ProcessBuilder("cc", "-shared", "-fPIC", source.toString(), "-o", file.toString()).inheritIO().start();
        assertEquals(0, compiler.waitFor());
        String output = inNewJvm("-Dnf4j.library.path=" + file, Probe.class);
        assertTrue(output.contains("first: " + file + " has version 99 of the C ABI, and these classes need "
                + Nf4jH.NF4J_ABI_VERSION() + ": the library and the jar are from different builds"), output);
    }

    @Test
    void aGivenCacheThatCannotBeWrittenIsNamed() throws Exception {
        Path cache = Files.createFile(folder.resolve("file")).resolve("cache");
        String message = assertThrows(Nf4jException.class, () -> NativeLibrary.locate("", new LibraryCache(cache, true)))
                .getMessage();
        assertTrue(message.contains("resource io/github/nf4j/internal/natives/"), message);
        assertTrue(message.contains(", to be unpacked into " + cache + ": "), message);
        assertTrue(message.contains("Set -Dnf4j.cache.dir to a folder that this user can write"), message);
    }

    @Test
    void objectsThatWereNeverClosedAreReportedWithTheirOrigin() throws Exception {
        String output = inNewJvm("-Dnf4j.trackLeaks=true", Leak.class);
        assertTrue(output.contains("a leaked thing was never closed; its native memory is lost"), output);
        assertTrue(output.contains("a leaked thing was made here"), output);
        assertTrue(output.contains(Leak.class.getName() + ".main"), output);
        assertTrue(!output.contains("a closed thing"), output);
    }

    /// Asks for the library twice.
    static final class Probe {
        public static void main(String[] args) {
            for (String attempt : List.of("first", "second")) {
                try {
                    System.out.println(attempt + ": " + NativeLibrary.load());
                } catch (Nf4jException e) {
                    System.out.println(attempt + ": " + e.getMessage());
                    if (e.getCause() != null) {
                        System.out.println("cause: " + e.getCause().getClass().getSimpleName());
                    }
                }
            }
        }
    }

    /// Loses one thing and closes another.
    static final class Leak {
        public static void main(String[] args) throws InterruptedException {
            new Handle(new Object(), "a leaked thing", MemorySegment.NULL);
            new Handle(new Object(), "a closed thing", MemorySegment.NULL).close();
            for (int i = 0; i < 20; i++) {
                System.gc();
                Thread.sleep(20);
            }
        }
    }

    /// Runs a main class with the classes on the class path, as an application without modules does.
    private static String inNewJvm(String property, Class<?> main) throws Exception {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        Process process = new ProcessBuilder(java, property, "--enable-native-access=ALL-UNNAMED",
                "-cp", "target/classes:target/test-classes", main.getName()).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), output);
        return output;
    }
}
