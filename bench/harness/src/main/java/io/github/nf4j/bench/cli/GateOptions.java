package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.compare.RowComparison.Kind;
import java.util.EnumSet;
import java.util.Set;
import picocli.CommandLine.Option;

/// What a comparison fails on.
final class GateOptions {
    @Option(names = "--fail-on", defaultValue = "slow", split = ",", paramLabel = "slow|ambg|missing",
            description = "Verdicts with an exit code of their own, separated by commas. Default: ${DEFAULT-VALUE}.")
    private Set<FailOn> failOn;

    enum FailOn {
        SLOW, AMBG, MISSING
    }

    /// Wrong results always fail.
    Set<Kind> failing() {
        Set<Kind> kinds = EnumSet.of(Kind.WRONG);
        for (FailOn one : failOn) {
            kinds.add(switch (one) {
                case SLOW -> Kind.SLOW;
                case AMBG -> Kind.AMBIGUOUS;
                case MISSING -> Kind.MISSING;
            });
        }
        return kinds;
    }

    int exitCode(long wrong, long slow, long ambiguous, long missing) {
        if (wrong > 0) {
            return ExitCode.WRONG;
        }
        if (slow > 0 && failOn.contains(FailOn.SLOW)) {
            return ExitCode.SLOW;
        }
        boolean unknown = ambiguous > 0 && failOn.contains(FailOn.AMBG) || missing > 0 && failOn.contains(FailOn.MISSING);
        return unknown ? ExitCode.AMBIGUOUS : ExitCode.OK;
    }
}
