package io.github.nf4j.bench.compare;

import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// Results kept per machine and suite: `<fingerprint>/<suite>/<run>.json`, and the one that new runs are judged by in
/// `<fingerprint>/<suite>.json`.
public record Baselines(Path folder) {
    /// Adds a run to the history of its machine.
    public Path add(ResultFile result) throws IOException {
        Path file = historyFolder(result).resolve(result.run().id() + ".json");
        Files.createDirectories(file.getParent());
        ResultFiles.write(file, result);
        return file;
    }

    /// Makes a run the one to be judged by.
    public Path promote(ResultFile result) throws IOException {
        Path file = promotedFile(result);
        Files.createDirectories(file.getParent());
        ResultFiles.write(file, result);
        return file;
    }

    /// The run that `candidate` is to be judged by.
    public Optional<ResultFile> promoted(ResultFile candidate) {
        Path file = promotedFile(candidate);
        return Files.exists(file) ? Optional.of(ResultFiles.read(file)) : Optional.empty();
    }

    /// Earlier runs of the machine and suite of `result`, oldest first.
    public List<ResultFile> history(ResultFile result) throws IOException {
        return files(historyFolder(result)).stream().map(ResultFiles::read)
                .filter(file -> !file.run().id().equals(result.run().id())).toList();
    }

    /// All files, by machine and suite.
    public List<Path> list() throws IOException {
        return files(folder);
    }

    private Path historyFolder(ResultFile result) {
        return machine(result).resolve(result.run().suite());
    }

    private Path promotedFile(ResultFile result) {
        return machine(result).resolve(result.run().suite() + ".json");
    }

    /// A result file may come from anywhere; its fields must not lead out of the folder.
    private Path machine(ResultFile result) {
        for (String name : List.of(result.machine().fingerprint(), result.run().suite(), result.run().id())) {
            if (!name.matches("[A-Za-z0-9][A-Za-z0-9_.-]*")) {
                throw new IllegalArgumentException("'" + name + "' of the result file cannot be a file name");
            }
        }
        return folder.resolve(result.machine().fingerprint());
    }

    private static List<Path> files(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
        }
    }
}
