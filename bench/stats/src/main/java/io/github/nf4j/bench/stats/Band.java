package io.github.nf4j.bench.stats;

/// Where the median of another run may lie without being a change: no further from that of past runs than the threshold of [Comparison].
public record Band(double low, double centre, double high) {
    /// @param smallest relative change that matters
    /// @param medians  of past runs on the same machine, one at least
    public static Band of(double smallest, double... medians) {
        double centre = Summary.median(medians);
        double threshold = Comparison.threshold(smallest, medians);
        return new Band(centre / (1 + threshold), centre, centre * (1 + threshold));
    }
}
