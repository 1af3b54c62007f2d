package io.github.nf4j.nn;

/// What the adapter of one projection is like.
///
/// @param rank           inner width, at least 1
/// @param alpha          numerator of the scale
/// @param rankStabilized whether the scale is `alpha / sqrt(rank)` instead of `alpha / rank`
/// @param dropout        share of the adapter's inputs that are dropped in training, `0 <= dropout < 1`
public record LoraSettings(int rank, double alpha, boolean rankStabilized, double dropout) {
    public LoraSettings {
        if (rank < 1) {
            throw new IllegalArgumentException("rank is " + rank + "; expected at least 1");
        }
        if (!Double.isFinite(alpha)) {
            throw new IllegalArgumentException("alpha is " + alpha + "; expected a finite number");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            throw new IllegalArgumentException("dropout is " + dropout + "; expected 0 <= dropout < 1");
        }
    }

    /// The factor of `B · A · x`.
    public double scale() {
        return alpha / (rankStabilized ? Math.sqrt(rank) : rank);
    }
}
