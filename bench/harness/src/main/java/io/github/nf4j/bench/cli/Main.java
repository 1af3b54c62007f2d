package io.github.nf4j.bench.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.result.ResultFiles.UnreadableException;
import java.io.PrintWriter;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;
import picocli.CommandLine.UnmatchedArgumentException;

/// The `nf4j-bench` command. Its exit codes are those of [ExitCode].
@Command(name = "nf4j-bench", mixinStandardHelpOptions = true, version = "nf4j-bench 0.1.0",
        description = "Measures nf4j, compares results, and tells regressions from noise.",
        subcommands = {ListCommand.class, FingerprintCommand.class, RunCommand.class, CompareCommand.class, RegressCommand.class,
                BaselineCommand.class, ReportCommand.class, SelftestCommand.class, TrainCommand.class, RaceCommand.class,
                CompareMethodsCommand.class, CompareTrainingCommand.class})
public final class Main implements Runnable {
    @Spec
    private CommandSpec spec;

    @Option(names = "--stacktrace", scope = ScopeType.INHERIT, description = "On failure, print where in the program it happened.")
    private boolean stacktrace;

    private Main() {
    }

    public static void main(String[] arguments) {
        System.exit(commandLine().execute(arguments));
    }

    /// The command with its subcommands; [CommandLine#execute] returns the exit code.
    static CommandLine commandLine() {
        Main main = new Main();
        return new CommandLine(main)
                .registerConverter(Suite.class, new NameConverter<>(List.of(Suite.values())))
                .registerConverter(Scope.class, new NameConverter<>(List.of(Scope.values())))
                .registerConverter(Backend.class, new NameConverter<>(List.of(Backend.CPU, Backend.REFERENCE, Backend.CUDA, Backend.SIMT)))
                .registerConverter(DType.class, new NameConverter<>(List.of(DType.F32, DType.BF16)))
                .registerConverter(TrainCommand.Base.class, new NameConverter<>(List.of(TrainCommand.Base.values())))
                .registerConverter(GateOptions.FailOn.class, new NameConverter<>(List.of(GateOptions.FailOn.values())))
                .setUsageHelpAutoWidth(true)
                .setParameterExceptionHandler((e, arguments) -> refused(e))
                .setExecutionExceptionHandler((e, command, parsed) -> main.failed(e, command.getErr()));
    }

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "Missing command");
    }

    /// In a line or two: above a page of help nobody would see them.
    private static int refused(ParameterException e) {
        PrintWriter err = e.getCommandLine().getErr();
        err.println(e.getMessage());
        UnmatchedArgumentException.printSuggestions(e, err);
        err.println("See " + e.getCommandLine().getCommandSpec().qualifiedName() + " --help.");
        err.flush();
        return ExitCode.UNUSABLE;
    }

    /// Never 1: a harness that fails has not shown a regression.
    private int failed(Exception e, PrintWriter err) {
        if (stacktrace) {
            e.printStackTrace(err);
        } else {
            err.println("nf4j-bench: " + reason(e));
        }
        err.flush();
        return ExitCode.UNUSABLE;
    }

    private static String reason(Exception e) {
        return switch (e) {
            case NoSuchFileException missing -> missing.getMessage() + ": no such file or folder";
            case AccessDeniedException denied -> denied.getMessage() + ": permission denied";
            case FileSystemException _,UnreadableException _,IllegalArgumentException _ -> e.getMessage();
            default -> e.toString();
        };
    }
}
