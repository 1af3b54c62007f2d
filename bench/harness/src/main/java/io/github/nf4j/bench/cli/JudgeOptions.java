package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.regress.Build;
import io.github.nf4j.bench.regress.Judge;
import io.github.nf4j.bench.regress.WorkerPasses;
import java.time.Duration;
import picocli.CommandLine.Option;

/// How the gate measures a case, and what it takes for a change.
final class JudgeOptions {
    @Option(names = "--threshold", defaultValue = "3%", converter = ShareConverter.class, paramLabel = "3%",
            description = "Changes below this do not matter. Default: ${DEFAULT-VALUE}.")
    double threshold;

    @Option(names = "--case-budget", defaultValue = "1s", converter = DurationConverter.class, paramLabel = "1s",
            description = "Time for one pass of one case. Default: ${DEFAULT-VALUE}.")
    Duration budget;

    /// @param slowdown makes the candidate slower by this share; 0 for honest work
    Judge judge(Build base, Build candidate, WorkerPasses.Target target, double slowdown) {
        return new Judge(new WorkerPasses(base, candidate, target, budget.toNanos(), slowdown), threshold);
    }
}
