package io.github.nf4j.bench.regress;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.stats.Comparison;
import io.github.nf4j.bench.stats.Interval;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/// Decides whether one build is slower than another, in one session, with samples taken in turns.
///
/// A verdict of FAST or SLOW counts only when two passes agree, of three at most.
public final class Judge {
    private static final int MOST_PASSES = 3;

    private final Passes passes;
    private final double threshold;

    /// What a pass measured: the medians of rounds in which both builds took a turn, in microseconds a call.
    ///
    /// @param noisy whether others used the processor meanwhile
    public record Pass(double[] base, double[] candidate, boolean noisy) {
    }

    /// Where passes come from.
    @FunctionalInterface
    public interface Passes {
        /// @throws WorkerContender.WorkerException if a build cannot be measured
        Pass measure(BenchCase benchCase) throws IOException, InterruptedException;
    }

    /// @param ratio   new / base of the last pass; null if there was none
    /// @param failure why nothing could be measured, or null
    /// @param wrong   whether a build's results are wrong
    public record Judgement(Verdict verdict, Interval ratio, List<Pass> passes, String failure, boolean wrong) {
        public boolean isNoisy() {
            return !passes.isEmpty() && passes.getLast().noisy();
        }
    }

    /// @param threshold smallest relative change that matters
    public Judge(Passes passes, double threshold) {
        this.passes = passes;
        this.threshold = threshold;
    }

    public Judgement judge(BenchCase benchCase) throws IOException, InterruptedException {
        List<Pass> taken = new ArrayList<>();
        int slow = 0;
        int fast = 0;
        while (true) {
            Comparison comparison;
            try {
                Pass pass = passes.measure(benchCase);
                taken.add(pass);
                comparison = Comparison.paired(pass.base(), pass.candidate(), threshold);
            } catch (WorkerContender.WorkerException e) {
                return new Judgement(Verdict.AMBIGUOUS, null, taken, e.getMessage(), e.isWrong());
            }
            Verdict verdict = comparison.verdict();
            slow += verdict == Verdict.SLOW ? 1 : 0;
            fast += verdict == Verdict.FAST ? 1 : 0;
            boolean decided = verdict == Verdict.SAME || slow == 2 || fast == 2;
            if (decided || taken.size() == MOST_PASSES) {
                return new Judgement(decided ? verdict : Verdict.AMBIGUOUS, comparison.ratio(), taken, null, false);
            }
        }
    }
}
