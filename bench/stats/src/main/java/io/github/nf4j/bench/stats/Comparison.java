package io.github.nf4j.bench.stats;

import java.util.stream.IntStream;

/// New against base, as a ratio of times: above 1 is slower.
///
/// A change counts when it is both sure (1 lies outside the interval) and large enough to matter (the centre is beyond
/// the threshold). No change is claimed only when the whole interval lies within the threshold.
///
/// @param ratio     with its confidence interval
/// @param threshold smallest relative change that matters
public record Comparison(Interval ratio, double threshold) {
    /// Of each comparison; one alarm in a hundred cases is expected from noise alone, so alarms are confirmed by a rerun.
    public static final double CONFIDENCE = 0.99;
    /// How many times the spread between past runs a change must exceed.
    private static final double SPREADS = 3;

    public Comparison {
        if (!(threshold > 0)) {
            throw new IllegalArgumentException("threshold is " + threshold + "; it must be positive");
        }
    }

    /// Samples taken in turns: `base[i]` and `candidate[i]` are neighbours in time, so a slow moment of the machine cancels out.
    public static Comparison paired(double[] base, double[] candidate, double threshold) {
        if (base.length != candidate.length) {
            throw new IllegalArgumentException(base.length + " base samples and " + candidate.length + " new ones cannot be paired");
        }
        double[] ratios = IntStream.range(0, base.length).mapToDouble(i -> candidate[i] / base[i]).toArray();
        return new Comparison(Interval.ofMedian(CONFIDENCE, ratios), threshold);
    }

    /// Samples of two runs that have nothing in common.
    public static Comparison unpaired(double[] base, double[] candidate, double threshold) {
        // Both intervals at this confidence hold together with at least CONFIDENCE (Bonferroni).
        double each = 1 - (1 - CONFIDENCE) / 2;
        return new Comparison(Interval.ofMedian(each, candidate).dividedBy(Interval.ofMedian(each, base)), threshold);
    }

    /// A threshold no smaller than what past runs of unchanged code differed by.
    ///
    /// @param medians of past runs on the same machine; fewer than five say nothing
    public static double threshold(double smallest, double... medians) {
        return medians.length < 5 ? smallest : Math.max(smallest, SPREADS * Summary.of(medians).relativeSpread());
    }

    public Verdict verdict() {
        if (ratio.low() > 1 && ratio.centre() >= 1 + threshold) {
            return Verdict.SLOW;
        }
        if (ratio.high() < 1 && ratio.centre() <= 1 / (1 + threshold)) {
            return Verdict.FAST;
        }
        return ratio.low() > 1 / (1 + threshold) && ratio.high() < 1 + threshold ? Verdict.SAME : Verdict.AMBIGUOUS;
    }
}
