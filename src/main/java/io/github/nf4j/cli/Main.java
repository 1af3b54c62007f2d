package io.github.nf4j.cli;

import java.io.PrintWriter;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;
import picocli.CommandLine.UnmatchedArgumentException;

/// The `nf4j` command. Exit codes: 0 done, 1 failed at work, 2 wrong usage.
@Command(name = "nf4j", mixinStandardHelpOptions = true, version = "nf4j 0.1.0",
        description = "Fine-tunes Llama-family models with LoRA and QLoRA, and runs them.",
        subcommands = {FinetuneCommand.class, GenerateCommand.class, EvalCommand.class, MergeCommand.class,
                LogitsCommand.class, ProfileCommand.class, DoctorCommand.class})
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
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setUsageHelpAutoWidth(true)
                .setParameterExceptionHandler((e, arguments) -> refused(e))
                .setExecutionStrategy(parsed -> {
                    try {
                        return new CommandLine.RunLast().execute(parsed);
                    } catch (OutOfMemoryError | LinkageError e) { // picocli hands on exceptions, not errors
                        return main.failed(e, parsed.commandSpec().commandLine().getErr());
                    }
                })
                .setExecutionExceptionHandler((e, command, parsed) -> main.failed(e, command.getErr()));
    }

    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "Missing command");
    }

    /// In two or three lines: above a page of help nobody would see them.
    private static int refused(ParameterException e) {
        CommandLine command = e.getCommandLine();
        List<String> unknown = command.getUnmatchedArguments();
        // Where a required option is misspelled, picocli says that it is missing; and what follows an unknown option is its value.
        ParameterException reason = unknown.isEmpty() ? e : new UnmatchedArgumentException(command, unknown.subList(0, 1));
        PrintWriter err = command.getErr();
        err.println(reason.getMessage());
        UnmatchedArgumentException.printSuggestions(reason, err);
        err.println("See " + command.getCommandSpec().qualifiedName() + " --help.");
        err.flush();
        return CommandLine.ExitCode.USAGE;
    }

    private int failed(Throwable e, PrintWriter err) {
        if (stacktrace) {
            e.printStackTrace(err);
        } else {
            err.println("nf4j: " + describe(e));
        }
        err.flush();
        return CommandLine.ExitCode.SOFTWARE;
    }

    /// One sentence for a failure. File system exceptions carry little more than the path in their message.
    private static String describe(Throwable e) {
        return switch (e) {
            case FileSystemException f when f.getReason() != null -> f.getMessage();
            case NoSuchFileException f -> f.getFile() + ": no such file or folder";
            case AccessDeniedException f -> f.getFile() + ": permission denied";
            case NotDirectoryException f -> f.getFile() + ": not a folder";
            case FileAlreadyExistsException f -> f.getFile() + ": exists already";
            case OutOfMemoryError o -> "the Java heap is too small (" + o.getMessage() + ")";
            case LinkageError l -> l.toString();
            case Throwable t when t.getMessage() == null -> t.toString();
            default -> e.getMessage();
        };
    }
}
