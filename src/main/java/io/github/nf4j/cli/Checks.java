package io.github.nf4j.cli;

import java.util.function.Supplier;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;

/// Refuses option values before any work begins: exit code 2.
final class Checks {
    private Checks() {
    }

    static void require(CommandSpec command, boolean holds, String message) {
        if (!holds) {
            throw new CommandLine.ParameterException(command.commandLine(), message);
        }
    }

    static void atLeast(CommandSpec command, String option, int value, int smallest) {
        require(command, value >= smallest, option + " is " + value + "; expected at least " + smallest);
    }

    /// Runs what checks its arguments itself.
    static <T> T usage(CommandSpec command, Supplier<T> construction) {
        try {
            return construction.get();
        } catch (IllegalArgumentException e) {
            throw new CommandLine.ParameterException(command.commandLine(), e.getMessage(), e);
        }
    }
}
