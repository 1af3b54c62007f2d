package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.regress.WorkerPasses;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// Which cases.
final class CaseOptions {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--suite", defaultValue = "smoke", paramLabel = "smoke|full|limits",
            description = "The set of cases. Default: ${DEFAULT-VALUE}.")
    Suite suite;

    @Option(names = "--scope", defaultValue = "call", paramLabel = "call|kernel|load",
            description = "call: operations through FFM, as an application sees them. kernel: the same from C, on the backend cpu, without "
                    + "peers. load: reading and writing files of models. Default: ${DEFAULT-VALUE}.")
    Scope scope;

    @Option(names = "--op", paramLabel = "REGEX", description = "Only operations in which this is found; see nf4j-bench list.")
    private String op;

    @Option(names = "--shape", paramLabel = "REGEX",
            description = "Only shapes in which this is found, such as 'llama3-8b.q' or 'm=16,.*bf16'.")
    private String shape;

    /// Whether no part of it was chosen.
    boolean isWholeSuite() {
        return op == null && shape == null;
    }

    /// For the gate, which starts processes of its own.
    ///
    /// @throws ParameterException if it cannot measure the scope
    WorkerPasses.Target target(BackendOptions where, long seed) {
        if (scope == Scope.KERNEL) {
            throw usage("--scope kernel: the gate measures through FFM; expected call or load");
        }
        return new WorkerPasses.Target(where.backend(), where.threads(), suite, scope, seed);
    }

    /// @throws ParameterException if nothing matches, with the nearest names
    List<BenchCase> cases() {
        List<BenchCase> all = Catalog.cases(suite, scope);
        if (all.isEmpty()) {
            throw usage("suite " + suite + " has no cases of scope " + scope);
        }
        List<BenchCase> ofOperation = all.stream().filter(c -> found("--op", op, c.op())).toList();
        if (ofOperation.isEmpty()) {
            throw usage("--op " + op + ": no operation of suite " + suite + " matches; "
                    + Names.nearest(op, all.stream().map(BenchCase::op).collect(Collectors.toCollection(TreeSet::new))));
        }
        List<BenchCase> matching = ofOperation.stream().filter(c -> found("--shape", shape, c.shapeText())).toList();
        if (matching.isEmpty()) {
            throw usage("--shape " + shape + ": no shape of suite " + suite + " matches; "
                    + Names.nearest(shape, ofOperation.stream().map(BenchCase::shape).collect(Collectors.toCollection(TreeSet::new))));
        }
        return matching;
    }

    private boolean found(String option, String regex, String text) {
        try {
            return regex == null || Pattern.compile(regex).matcher(text).find();
        } catch (PatternSyntaxException e) {
            throw usage(option + " " + regex + " is not a regular expression: " + e.getDescription());
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(command.commandLine(), message);
    }
}
