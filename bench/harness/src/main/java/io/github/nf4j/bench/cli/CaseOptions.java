package io.github.nf4j.bench.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.regress.WorkerPasses;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// Which cases, on which device.
final class CaseOptions {
    private static final int SUGGESTIONS = 3;

    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--suite", defaultValue = "smoke", paramLabel = "smoke|full|limits",
            description = "The set of cases. Default: ${DEFAULT-VALUE}.")
    Catalog.Suite suite;

    @Option(names = "--op", paramLabel = "REGEX", description = "Only operations in which this is found; see nf4j-bench list.")
    private String op;

    @Option(names = "--shape", paramLabel = "REGEX",
            description = "Only shapes in which this is found, such as 'llama3-8b.q' or 'm=16,.*bf16'.")
    private String shape;

    @Option(names = "--backend", defaultValue = "cpu", paramLabel = "cpu|reference|cuda|simt",
            description = "Where operations run. Default: ${DEFAULT-VALUE}.")
    private Backend backend;

    @Option(names = "--threads", defaultValue = "0", paramLabel = "N",
            description = "Threads of a host backend; 0 takes the cores that this process may use. Default: ${DEFAULT-VALUE}.")
    private int threads;

    /// Whether no part of it was chosen.
    boolean isWholeSuite() {
        return op == null && shape == null;
    }

    boolean isOnCpu() {
        return backend == Backend.CPU;
    }

    Device openDevice() {
        if (threads < 0) {
            throw usage("--threads is " + threads + "; expected at least 0");
        }
        return Device.open(new DeviceOptions(backend, 0, threads, Isa.AUTO));
    }

    WorkerPasses.Target target(long seed) {
        return new WorkerPasses.Target(backend, threads, suite, seed);
    }

    /// @throws ParameterException if nothing matches, with the nearest names
    List<BenchCase> cases() {
        List<BenchCase> all = Catalog.cases(suite);
        List<BenchCase> ofOperation = all.stream().filter(c -> found("--op", op, c.op())).toList();
        if (ofOperation.isEmpty()) {
            throw usage("--op " + op + ": no operation of suite " + suite + " matches; "
                    + nearest(op, all.stream().map(BenchCase::op).collect(Collectors.toCollection(TreeSet::new))));
        }
        List<BenchCase> matching = ofOperation.stream().filter(c -> found("--shape", shape, c.shapeText())).toList();
        if (matching.isEmpty()) {
            throw usage("--shape " + shape + ": no shape of suite " + suite + " matches; "
                    + nearest(shape, ofOperation.stream().map(BenchCase::shape).collect(Collectors.toCollection(TreeSet::new))));
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

    static String nearest(String wanted, Set<String> names) {
        return "the nearest are " + names.stream().sorted(Comparator.comparingInt(name -> distance(wanted, name))).limit(SUGGESTIONS)
                .collect(Collectors.joining(", "));
    }

    /// Levenshtein's: insertions, deletions and replacements that lead from one text to the other.
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int replaced = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[b.length()];
    }
}
