package io.github.nf4j.bench.cases;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/// A folder that goes, with the files in it, when this is closed or, at the latest, when the process ends or is interrupted.
record TemporaryFolder(Path path) implements AutoCloseable {
    private static final String PREFIX = "nf4j-bench-" + ProcessHandle.current().pid() + "-";

    TemporaryFolder() throws IOException {
        this(Files.createTempDirectory(PREFIX));
        Runtime.getRuntime().addShutdownHook(new Thread(this::removeQuietly));
    }

    static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    @Override
    public void close() throws IOException {
        if (Files.exists(path)) {
            for (Path file : files(path)) {
                Files.delete(file);
            }
            Files.delete(path);
        }
    }

    private void removeQuietly() {
        try {
            close();
        } catch (IOException e) {
            // the process ends; whoever cleans temporary files will find it
        }
    }
}
