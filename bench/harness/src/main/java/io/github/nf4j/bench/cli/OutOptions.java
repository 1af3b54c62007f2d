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
    /// @throws ParameterException if it would be overwritten
    boolean resumes() {
        if (Files.exists(file) && !resume) {
            throw new ParameterException(command.commandLine(), "--out " + file + " exists; add --resume to go on with it, or remove it");
        }
        return resume;
    }
}
