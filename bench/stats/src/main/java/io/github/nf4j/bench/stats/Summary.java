package io.github.nf4j.bench.stats;

import java.util.Arrays;

/// The shape of a set of samples. Quantiles interpolate between neighbours.
///
/// @param mad median of the absolute deviations from the median
/// @param sd  standard deviation of a sample, 0 for one value
public record Summary(double min, double q1, double median, double q3, double mad, double mean, double sd) {
    /// @throws IllegalArgumentException if there are no samples
    public static Summary of(double... samples) {
        double[] sorted = sorted(samples);
        double median = quantile(sorted, 0.5);
        double mean = Arrays.stream(sorted).average().orElseThrow();
        double squares = Arrays.stream(sorted).map(x -> (x - mean) * (x - mean)).sum();
        double mad = quantile(sorted(Arrays.stream(sorted).map(x -> Math.abs(x - median)).toArray()), 0.5);
        return new Summary(sorted[0], quantile(sorted, 0.25), median, quantile(sorted, 0.75), mad, mean,
                sorted.length == 1 ? 0 : Math.sqrt(squares / (sorted.length - 1)));
    }

    /// The median of samples in any order.
    public static double median(double... samples) {
        return quantile(sorted(samples), 0.5);
    }

    /// (q3 - q1) / median.
    public double relativeSpread() {
        return (q3 - q1) / median;
    }

    private static double[] sorted(double[] samples) {
        if (samples.length == 0) {
            throw new IllegalArgumentException("no samples");
        }
        double[] sorted = samples.clone();
        Arrays.sort(sorted);
        return sorted;
    }

    private static double quantile(double[] sorted, double q) {
        double at = q * (sorted.length - 1);
        int below = (int) at;
        return below + 1 < sorted.length ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
