package io.github.nf4j.bench.stats;

/// What the samples say about a change.
public enum Verdict {
    FAST, SLOW, SAME,
    /// Neither a change nor its absence is shown: too few samples, or too noisy.
    AMBIGUOUS
}
