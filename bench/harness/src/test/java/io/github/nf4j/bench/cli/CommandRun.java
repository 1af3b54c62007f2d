package io.github.nf4j.bench.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import picocli.CommandLine;

/// One execution of the command in this process.
record CommandRun(int exitCode, String out, String err) {
    static CommandRun of(String... arguments) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        CommandLine command = Main.commandLine().setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        int exitCode = command.execute(arguments);
        return new CommandRun(exitCode, out.toString(), err.toString());
    }

    /// A subcommand with its usual options.
    ///
    /// @param more options and values in turns, which take the place of usual ones; `--resume` last, if at all
    static CommandRun with(String subcommand, Map<String, String> usual, Object... more) {
        Map<String, String> options = new TreeMap<>(usual);
        for (int i = 0; i + 1 < more.length; i += 2) {
            options.put(more[i].toString(), more[i + 1].toString());
        }
        List<String> arguments = new ArrayList<>(List.of(subcommand));
        options.forEach((name, value) -> arguments.addAll(List.of(name, value)));
        if (more.length % 2 == 1) {
            arguments.add(more[more.length - 1].toString());
        }
        return of(arguments.toArray(String[]::new));
    }
}
