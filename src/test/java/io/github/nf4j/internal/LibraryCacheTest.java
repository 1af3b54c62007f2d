package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The cache as JVMs of their own meet it.
class LibraryCacheTest {
    private static final String JAVA = Path.of(System.getProperty("java.home"), "bin", "java").toString();

    @TempDir
    Path folder;

    @Test
    void aPathMayHaveSpacesAndLettersOfOtherAlphabets() throws Exception {
        String name = "ein Ordner für ñandúes";
        assumeTrue(Charset.forName(System.getProperty("sun.jnu.encoding")).newEncoder().canEncode(name), "this locale has no such names");
        Path cache = folder.resolve(name);
        assertEquals(List.of(loadFrom(cache)), filesIn(cache));
    }

    @Test
    void processesThatStartAtTheSameTimeAgree() throws Exception {
        List<Process> processes = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            processes.add(start(folder));
        }
        for (Process process : processes) {
            assertEquals(0, process.waitFor(), new String(process.getInputStream().readAllBytes()));
        }
        assertEquals(1, filesIn(folder).size(), "one library, and no temporary files");
    }

    @Test
    void aTruncatedAndAForeignFileAreReplacedBeforeTheyAreLoaded() throws Exception {
        Path file = loadFrom(folder);
        byte[] content = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(content, content.length / 2));
        assertEquals(file, loadFrom(folder));
        assertArrayEquals(content, Files.readAllBytes(file));
        Files.copy(Path.of(System.getProperty("java.home"), "lib", "libprefs.so"), file,
                StandardCopyOption.REPLACE_EXISTING);
        assertEquals(file, loadFrom(folder));
        assertArrayEquals(content, Files.readAllBytes(file));
    }

    /// As in an executable jar whose loader keeps classes and resources of the jars in it in memory.
    @Test
    void theLibraryOfAJarInAJarIsUnpackedToo() throws Exception {
        Path outer = folder.resolve("application.jar");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(outer))) {
            zip.putNextEntry(new ZipEntry(NestedProbe.INNER));
            ZipOutputStream inner = new ZipOutputStream(zip);
            Path classes = Path.of("target/classes");
            for (Path file : filesIn(classes)) {
                inner.putNextEntry(new ZipEntry(classes.relativize(file).toString()));
                Files.copy(file, inner);
            }
            inner.finish();
        }
        Path cache = folder.resolve("cache");
        Process process = new ProcessBuilder(JAVA, "-Dnf4j.cache.dir=" + cache, "--enable-native-access=ALL-UNNAMED", "-cp",
                "target/test-classes", NestedProbe.class.getName(), outer.toString()).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), output);
        assertEquals(filesIn(cache).getFirst().toString(), output.strip());
    }

    /// Below a file there are no folders, not even for root.
    @Test
    void withAHomeThatCannotBeWrittenTheLibraryIsOfThisProcessAlone() throws Exception {
        Path home = Files.createFile(folder.resolve("file")).resolve("home");
        Path temporary = Files.createDirectory(folder.resolve("temporary"));
        for (boolean byEnvironment : List.of(false, true)) {
            Process process = startWithHome(home, temporary, byEnvironment);
            String output = new String(process.getInputStream().readAllBytes());
            assertEquals(0, process.waitFor(), output);
            assertTrue(output.matches(Pattern.quote(temporary.toString()) + "/nf4j-\\d+/libnf4j\\.so rwx------\n"), output);
            try (Stream<Path> left = Files.list(temporary)) {
                assertEquals(List.of(), left.toList(), "left behind");
            }
        }
    }

    @Test
    void withNoFolderAtAllTheErrorNamesThoseThatWereTried() throws Exception {
        Path file = Files.createFile(folder.resolve("file"));
        Process process = startWithHome(file.resolve("home"), file.resolve("temporary"), false);
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(1, process.waitFor(), output);
        assertTrue(output.contains(", to be unpacked into " + file + "/home/.cache/nf4j: "), output);
        assertTrue(output.contains("; nor into " + file + "/temporary: "), output);
        assertTrue(output.contains("Set -Dnf4j.cache.dir to a folder that this user can write"), output);
    }

    private static List<Path> filesIn(Path cache) throws IOException {
        try (Stream<Path> files = Files.walk(cache)) {
            return files.filter(Files::isRegularFile).toList();
        }
    }

    /// Loads the library in another JVM, and says from where.
    private static Path loadFrom(Path cache) throws Exception {
        Process process = start(cache);
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), output);
        assertTrue(output.startsWith(cache.toString()), output);
        return Path.of(output.strip());
    }

    private static Process start(Path cache) throws IOException {
        return java(Probe.class, "-Dnf4j.cache.dir=" + cache).start();
    }

    private static Process startWithHome(Path home, Path temporary, boolean byEnvironment) throws IOException {
        ProcessBuilder builder = java(PermissionsProbe.class, "-Duser.home=" + home, "-Djava.io.tmpdir=" + temporary);
        builder.environment().remove("XDG_CACHE_HOME");
        if (byEnvironment) {
            builder.environment().put("XDG_CACHE_HOME", home.resolve("caches").toString());
        }
        return builder.start();
    }

    private static ProcessBuilder java(Class<?> main, String... options) {
        List<String> command = new ArrayList<>(List.of(JAVA, "-Dstdout.encoding=UTF-8", "--enable-native-access=ALL-UNNAMED",
                "-cp", "target/classes:target/test-classes"));
        command.addAll(List.of(options));
        command.add(main.getName());
        return new ProcessBuilder(command).redirectErrorStream(true);
    }

    /// Prints the file that was loaded.
    static final class Probe {
        public static void main(String[] args) {
            System.out.println(NativeLibrary.load());
        }
    }

    /// Prints the file that was loaded, and who may open its folder.
    static final class PermissionsProbe {
        public static void main(String[] args) throws IOException {
            Path file = NativeLibrary.load();
            System.out.println(file + " " + PosixFilePermissions.toString(Files.getPosixFilePermissions(file.getParent())));
        }
    }

    /// Loads nf4j's classes out of a jar in a jar, and prints the library's file.
    static final class NestedProbe extends ClassLoader {
        static final String INNER = "lib/nf4j.jar";

        private final Map<String, byte[]> entries = new HashMap<>();

        NestedProbe(Path outer) throws IOException {
            try (ZipFile zip = new ZipFile(outer.toFile());
                    ZipInputStream inner = new ZipInputStream(zip.getInputStream(zip.getEntry(INNER)))) {
                for (ZipEntry entry = inner.getNextEntry(); entry != null; entry = inner.getNextEntry()) {
                    entries.put(entry.getName(), inner.readAllBytes());
                }
            }
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            byte[] bytes = entries.get(name.replace('.', '/') + ".class");
            if (bytes == null) {
                throw new ClassNotFoundException(name);
            }
            return defineClass(name, bytes, 0, bytes.length);
        }

        @Override
        public InputStream getResourceAsStream(String name) {
            return entries.containsKey(name) ? new ByteArrayInputStream(entries.get(name)) : null;
        }

        public static void main(String[] args) throws Exception {
            Class<?> library = new NestedProbe(Path.of(args[0])).loadClass("io.github.nf4j.internal.NativeLibrary");
            System.out.println(library.getMethod("load").invoke(null));
        }
    }
}
