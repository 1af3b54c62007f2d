package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.regress.Build;
import io.github.nf4j.bench.regress.Judge;
import io.github.nf4j.bench.regress.Judge.Judgement;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench selftest`.
@Command(name = "selftest", mixinStandardHelpOptions = true, description = {
        "Tests the gate on this machine: the same build against itself, and against itself made slower by 5 and by 10 %%.",
        "Exit code: 0 at most 2 %% false alarms and at least 95 %% of the 10 %% found, else 4."})
final class SelftestCommand implements Callable<Integer> {
    private static final double FALSE_ALARMS = 0.02;
    private static final double FOUND = 0.95;

    @Spec
    private CommandSpec spec;

    @Mixin
    private CaseOptions options;

    @Option(names = "--runs", defaultValue = "50", paramLabel = "N", description = "Of each kind. Default: ${DEFAULT-VALUE}.")
    private int runs;

    @Option(names = "--threshold", defaultValue = "3%", converter = ShareConverter.class, paramLabel = "3%",
            description = "As of regress. Default: ${DEFAULT-VALUE}.")
    private double threshold;

    @Option(names = "--case-budget", defaultValue = "2s", converter = DurationConverter.class, paramLabel = "2s",
            description = "Time for one pass. Default: ${DEFAULT-VALUE}.")
    private Duration budget;

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (runs < 1) {
            throw new ParameterException(spec.commandLine(), "--runs is " + runs + "; expected at least 1");
        }
        List<BenchCase> cases = options.cases();
        int alarms = slow(cases, 0);
        int five = slow(cases, 0.05);
        int ten = slow(cases, 0.10);
        PrintWriter out = spec.commandLine().getOut();
        out.printf("false alarms   %d of %d%n", alarms, runs);
        out.printf("5 %% found      %d of %d%n", five, runs);
        out.printf("10 %% found     %d of %d%n", ten, runs);
        out.flush();
        return alarms <= FALSE_ALARMS * runs && ten >= FOUND * runs ? ExitCode.OK : ExitCode.AMBIGUOUS;
    }

    /// How many of the runs say SLOW. They take the cases in turn.
    private int slow(List<BenchCase> cases, double spin) throws IOException, InterruptedException {
        Judge judge = new Judge(Build.current("base"), Build.current("same"), options.target(1), threshold, budget.toNanos(), spin);
        int slow = 0;
        for (int run = 0; run < runs; run++) {
            BenchCase benchCase = cases.get(run % cases.size());
            Judgement judgement = judge.judge(benchCase);
            RegressCommand.print(spec.commandLine().getOut(), benchCase, judgement);
            slow += judgement.verdict() == Verdict.SLOW ? 1 : 0;
        }
        return slow;
    }
}
