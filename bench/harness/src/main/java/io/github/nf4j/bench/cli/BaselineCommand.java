package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.compare.Baselines;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.Checkout;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/// `nf4j-bench baseline`.
@Command(name = "baseline", mixinStandardHelpOptions = true,
        description = "Keeps results per machine: their spread tells noise from change, and the promoted one is what compare baseline uses.")
final class BaselineCommand implements Runnable {
    @Spec
    private CommandSpec spec;

    @Option(names = "--baselines", paramLabel = "DIR", scope = ScopeType.INHERIT, description = "Default: bench/baselines.")
    private Path folder;

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "Missing subcommand: add, promote or list");
    }

    @Command(name = "add", mixinStandardHelpOptions = true, description = "Adds a result to the history of its machine.")
    int add(@Parameters(paramLabel = "F.json") Path file) throws IOException {
        return print(baselines().add(ResultFiles.read(file)).toString());
    }

    @Command(name = "promote", mixinStandardHelpOptions = true, description = "Makes a result the one that later ones are compared with.")
    int promote(@Parameters(paramLabel = "F.json") Path file) throws IOException {
        ResultFile result = ResultFiles.read(file);
        if (!result.run().finished()) {
            throw new ParameterException(spec.commandLine(), file + " is of an interrupted run: finish it with run --resume first");
        }
        return print(baselines().promote(result).toString());
    }

    @Command(name = "list", mixinStandardHelpOptions = true, description = "Lists what is kept.")
    int list() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (Path file : baselines().list()) {
            ResultFile result = ResultFiles.read(file);
            lines.append(baselines().folder().relativize(file)).append("  ").append(result.cases().size()).append(" rows, ")
                    .append(result.code().gitSha()).append('\n');
        }
        return print(lines.isEmpty() ? "Nothing is kept in " + baselines().folder() : lines.toString().stripTrailing());
    }

    private int print(String text) {
        PrintWriter out = spec.commandLine().getOut();
        out.println(text);
        out.flush();
        return ExitCode.OK;
    }

    private Baselines baselines() {
        return new Baselines(folder == null ? Checkout.current().baselines() : folder);
    }
}
