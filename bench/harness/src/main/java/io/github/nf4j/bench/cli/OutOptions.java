package io.github.nf4j.bench.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// Where results are kept from the first one on, so that an interrupted command loses none.
final class OutOptions {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--out", required = true, paramLabel = "FILE", description = "Gets the results, as they come.")
    private Path file;

    @Option(names = "--resume", description = "Measure what --out does not have yet.")
    private boolean resume;

    Path file() {
        return file;
    }

    /// Whether to go on with the file.
    ///
    /// @throws ParameterException if it would be overwritten, or cannot be written
    boolean resumes() {
        if (Files.exists(file) && !resume) {
            throw usage("--out " + file + " exists; add --resume to go on with it, or remove it");
        }
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null || !Files.isWritable(folder)) {
            throw usage("--out " + file + ": there is no folder " + folder + " to write to");
        }
        return resume;
    }

    private ParameterException usage(String message) {
        return new ParameterException(command.commandLine(), message);
    }
}
