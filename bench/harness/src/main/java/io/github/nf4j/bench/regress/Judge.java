package io.github.nf4j.bench.regress;

import io.github.nf4j.Backend;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.run.Interleaver;
import io.github.nf4j.bench.stats.Comparison;
import io.github.nf4j.bench.stats.Interval;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.util.List;

/// Decides whether one build is slower than another, in one session, with samples taken in turns.
///
/// A pass starts a fresh process for each build, so where things come to lie in memory differs from pass to pass. A verdict of
/// FAST or SLOW counts only when two passes agree, of three at most.
public final class Judge {
    private static final int MOST_PASSES = 3;
    private static final double WARM_UP_SHARE = 0.2;

    private final Build base;
    private final Build candidate;
    private final Target target;
    private final double threshold;
    private final long nanos;
    private final double spin;

    /// Where and what to measure.
    public record Target(Backend backend, int threads, Catalog.Suite suite, long seed) {
    }

    /// @param ratio   new / base of the last pass; null if there was none
    /// @param failure why nothing could be measured, or null
    /// @param wrong   whether a build's results are wrong
    public record Judgement(Verdict verdict, Interval ratio, int passes, boolean noisy, String failure, boolean wrong) {
    }

    /// @param threshold smallest relative change that matters
    /// @param nanos     for the samples of a pass
    /// @param spin      makes the candidate slower by this share, to test the gate; 0 for honest work
    public Judge(Build base, Build candidate, Target target, double threshold, long nanos, double spin) {
        this.base = base;
        this.candidate = candidate;
        this.target = target;
        this.threshold = threshold;
        this.nanos = nanos;
        this.spin = spin;
    }

    public Judgement judge(BenchCase benchCase) throws IOException, InterruptedException {
        int slow = 0;
        int fast = 0;
        Judgement last = null;
        for (int pass = 1; pass <= MOST_PASSES; pass++) {
            try {
                Interleaver.Outcome outcome = measure(benchCase);
                Comparison comparison = Comparison.paired(outcome.tracks().get(0).medians(), outcome.tracks().get(1).medians(), threshold);
                last = new Judgement(comparison.verdict(), comparison.ratio(), pass, outcome.noisy(), null, false);
            } catch (WorkerContender.WorkerException e) {
                return new Judgement(Verdict.AMBIGUOUS, null, pass, false, e.getMessage(), e.isWrong());
            }
            slow += last.verdict() == Verdict.SLOW ? 1 : 0;
            fast += last.verdict() == Verdict.FAST ? 1 : 0;
            if (last.verdict() == Verdict.SAME || slow == 2 || fast == 2) {
                return last;
            }
        }
        return new Judgement(Verdict.AMBIGUOUS, last.ratio(), MOST_PASSES, last.noisy(), null, false);
    }

    private Interleaver.Outcome measure(BenchCase benchCase) throws IOException, InterruptedException {
        long warmUp = (long) (nanos * WARM_UP_SHARE / 2);
        try (WorkerContender before = new WorkerContender(base, target, benchCase, 0, warmUp);
                WorkerContender after = new WorkerContender(candidate, target, benchCase, spin, warmUp)) {
            before.await();
            after.await();
            return Interleaver.run(List.of(before, after), nanos);
        }
    }
}
