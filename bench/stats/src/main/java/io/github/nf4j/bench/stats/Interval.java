package io.github.nf4j.bench.stats;

import java.util.Arrays;

/// A confidence interval of a median. It assumes nothing about the distribution: its ends are order statistics, and the
/// number of samples below the true median is binomial with p = 1/2.
///
/// @param low  negative infinity when there are too few samples for the confidence asked for
/// @param high positive infinity then
public record Interval(double low, double centre, double high) {
    /// @param confidence such as 0.99
    public static Interval ofMedian(double confidence, double... samples) {
        double[] sorted = samples.clone();
        Arrays.sort(sorted);
        double centre = Summary.median(sorted);
        int below = outside(sorted.length, (1 - confidence) / 2);
        return below == 0
                ? new Interval(Double.NEGATIVE_INFINITY, centre, Double.POSITIVE_INFINITY)
                : new Interval(sorted[below - 1], centre, sorted[sorted.length - below]);
    }

    /// The interval of numerator / denominator, for independent ones and a positive denominator.
    public Interval dividedBy(Interval denominator) {
        double smallest = isUnbounded() || denominator.isUnbounded() ? Double.NEGATIVE_INFINITY : low / denominator.high;
        double largest = isUnbounded() || denominator.isUnbounded() ? Double.POSITIVE_INFINITY : high / denominator.low;
        return new Interval(smallest, centre / denominator.centre, largest);
    }

    public boolean isUnbounded() {
        return Double.isInfinite(low) || Double.isInfinite(high);
    }

    /// The largest k with P(Binomial(n, 1/2) < k) <= tail: that many samples may be left out at each end.
    private static int outside(int n, double tail) {
        double logProbability = n * Math.log(0.5); // of exactly k samples below the median, k = 0
        double below = Math.exp(logProbability);
        int k = 0;
        while (below <= tail) {
            logProbability += Math.log((double) (n - k) / (k + 1));
            below += Math.exp(logProbability);
            k++;
        }
        return k;
    }
}
