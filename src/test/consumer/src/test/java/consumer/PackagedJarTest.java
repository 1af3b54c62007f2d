package consumer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;

/// What is linked. It runs twice, on the module path and on the class path; a property of pom.xml says which.
class PackagedJarTest {
    private static final Path PACKAGED = Path.of(System.getProperty("consumer.packaged"));

    @Test
    void isLinkedAsThePathSays() throws Exception {
        Path linked = Path.of(Device.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        assertEquals(-1, Files.mismatch(PACKAGED, linked), linked + " is another jar");
        assertEquals(System.getProperty("consumer.path").equals("module") ? "io.github.nf4j" : null, Device.class.getModule().getName());
    }

    @Test
    void holdsClassesLibrariesAndWhatDescribesThem() throws Exception {
        String meant = "META-INF/(MANIFEST\\.MF|LICENSE|maven/io\\.github\\.nf4j/nf4j/pom\\.(xml|properties)"
                + "|native-image/io\\.github\\.nf4j/nf4j/reachability-metadata\\.json)"
                + "|module-info\\.class|io/github/nf4j/(\\w+/)?[\\w$-]+\\.class"
                + "|io/github/nf4j/internal/natives/Linux-(amd64|aarch64)/libnf4j\\.so";
        List<String> names;
        try (JarFile jar = new JarFile(PACKAGED.toFile())) {
            names = jar.stream().filter(entry -> !entry.isDirectory()).map(ZipEntry::getName).toList();
        }
        assertEquals(List.of(), names.stream().filter(name -> !name.matches(meant)).toList());
        assertTrue(names.contains("META-INF/LICENSE"), names.toString());
        assertTrue(names.contains("io/github/nf4j/internal/natives/Linux-" + System.getProperty("os.arch") + "/libnf4j.so"));
    }

    @Test
    void unpacksItsLibraryOnceIntoTheNamedFolder() throws Exception {
        Device.open(Backend.CPU).close();
        try (Stream<Path> files = Files.walk(Path.of(System.getProperty("nf4j.cache.dir")))) {
            assertEquals(List.of("libnf4j.so"), files.filter(Files::isRegularFile).map(file -> file.getFileName().toString()).toList());
        }
    }
}
