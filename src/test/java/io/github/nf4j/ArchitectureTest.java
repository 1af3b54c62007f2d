package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// That the pictures in docs/architecture.md are those of the code: every dependency follows the arrows, and every arrow is one.
class ArchitectureTest {
    private static final Path MAIN = Path.of("src/main/java/io/github/nf4j");
    private static final Path NATIVE = Path.of("native");

    private record Edge(String from, String to) implements Comparable<Edge> {
        @Override
        public int compareTo(Edge other) {
            return toString().compareTo(other.toString());
        }

        @Override
        public String toString() {
            return from + " -> " + to;
        }
    }

    @Test
    void packagesDependOnEachOtherAsDrawn() throws IOException {
        Set<Edge> found = new TreeSet<>();
        Pattern imported = Pattern.compile("(?m)^import (?:static )?io\\.github\\.nf4j\\.(?:([a-z]\\w*)\\.)?[A-Z]");
        forEach(MAIN, "java", (file, text) -> {
            Path folder = MAIN.relativize(file.getParent());
            for (Matcher match = imported.matcher(text); match.find();) {
                found.add(new Edge(name(folder.toString()), name(match.group(1) == null ? "" : match.group(1))));
            }
        });
        check(picture(0), found);
    }

    @Test
    void nativeFoldersDependOnEachOtherAsDrawn() throws IOException {
        Set<Edge> found = new TreeSet<>();
        Pattern included = Pattern.compile("(?m)^#include \"([^\"]+)\"");
        forEach(NATIVE, "h|cpp|cuh|cu", (file, text) -> {
            Path folder = NATIVE.relativize(file.getParent());
            if (folder.startsWith("test")) {
                return;
            }
            for (Matcher match = included.matcher(text); match.find();) {
                Path header = Path.of(match.group(1));
                String to = header.toString().equals("nf4j.h") ? "include"
                        : header.getParent() == null ? folder.toString() : header.getParent().toString();
                found.add(new Edge(folder.toString(), to));
            }
        });
        check(picture(1), found);
    }

    /// Hence a framework that links them gets one jar and no more.
    @Test
    void theCoreImportsNothingButTheJdk() throws IOException {
        Set<String> core = Set.of("", "op", "autograd", "nn", "optim", "internal");
        Pattern foreign = Pattern.compile("(?m)^import (?:static )?+(?!java\\.|io\\.github\\.nf4j\\.).*");
        Set<String> found = new TreeSet<>();
        forEach(MAIN, "java", (file, text) -> {
            if (core.contains(MAIN.relativize(file.getParent()).toString())) {
                foreign.matcher(text).results().forEach(match -> found.add(file + ": " + match.group()));
            }
        });
        assertEquals(Set.of(), found);
    }

    /// Whatever nf4j writes itself appears whole or not at all. LibraryCache has its own way to that, and a log of metrics grows
    /// line by line.
    @Test
    void onlyAtomicFileWritesFiles() throws IOException {
        Pattern writing = Pattern.compile("\\bFiles\\.(?:write|copy|newBufferedWriter|newOutputStream|newByteChannel)"
                + "|\\b(?:FileOutputStream|FileWriter|RandomAccessFile)\\b|StandardOpenOption\\.(?!READ\\b)");
        Set<String> found = new TreeSet<>();
        forEach(MAIN, "java", (file, text) -> {
            if (writing.matcher(text).find()) {
                found.add(MAIN.relativize(file).toString());
            }
        });
        assertEquals(Set.of("internal/LibraryCache.java", "io/AtomicFile.java", "train/RunDirectory.java"), found);
    }

    private static String name(String folder) {
        return folder.isEmpty() ? "root" : folder;
    }

    private static void check(Set<Edge> drawn, Set<Edge> found) {
        found.removeIf(edge -> edge.from.equals(edge.to));
        assertFalse(found.isEmpty());
        Set<Edge> against = new TreeSet<>(found);
        against.removeIf(edge -> reaches(drawn, edge.from, edge.to, new HashSet<>()));
        assertEquals(Set.of(), against, "dependencies against the arrows of docs/architecture.md");
        Set<Edge> unused = new TreeSet<>(drawn);
        unused.removeAll(found);
        assertEquals(Set.of(), unused, "arrows of docs/architecture.md that nothing uses");
    }

    private static boolean reaches(Set<Edge> drawn, String from, String to, Set<String> visited) {
        // The dotted arrow is a dependency, but no way on from there.
        return drawn.stream().anyMatch(edge -> edge.from.equals(from) && (edge.to.equals(to)
                || !edge.from.equals("internal") && visited.add(edge.to) && reaches(drawn, edge.to, to, visited)));
    }

    /// The arrows of the picture with that number.
    private static Set<Edge> picture(int index) throws IOException {
        Matcher graph = Pattern.compile("```mermaid\n(.*?)```", Pattern.DOTALL)
                .matcher(Files.readString(Path.of("docs", "architecture.md")));
        for (int i = 0; i <= index; i++) {
            assertTrue(graph.find(), "docs/architecture.md has fewer pictures");
        }
        Set<Edge> edges = new TreeSet<>();
        for (Matcher arrow = Pattern.compile("(\\S+) -(?:\\.-|-)> (\\S+)").matcher(graph.group(1)); arrow.find();) {
            edges.add(new Edge(arrow.group(1), arrow.group(2)));
        }
        return edges;
    }

    @FunctionalInterface
    private interface Reader {
        void read(Path file, String text);
    }

    private static void forEach(Path root, String extensions, Reader reader) throws IOException {
        List<Path> files;
        try (Stream<Path> walk = Files.walk(root)) {
            files = walk.filter(file -> file.getFileName().toString().matches(".*\\.(" + extensions + ")")).toList();
        }
        for (Path file : files) {
            try {
                reader.read(file, Files.readString(file));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
