package io.github.nf4j.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import picocli.CommandLine;

/// One run of the `nf4j` command inside the test's process.
///
/// @param exitCode what the process would have ended with
/// @param out      what it printed
/// @param err      what it complained about
record CommandLineRun(int exitCode, String out, String err) {
    static CommandLineRun of(Object... arguments) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        CommandLine command = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        int exitCode = command.execute(List.of(arguments).stream().map(Object::toString).toArray(String[]::new));
        return new CommandLineRun(exitCode, out.toString(), err.toString());
    }

    /// A run that must succeed.
    static String output(Object... arguments) {
        CommandLineRun run = of(arguments);
        if (run.exitCode != 0) {
            throw new AssertionError("exit code " + run.exitCode + ": " + run.err);
        }
        return run.out;
    }
}
