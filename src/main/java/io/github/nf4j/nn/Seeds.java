package io.github.nf4j.nn;

/// Independent random streams from one seed: what depends on run, step and place gets a seed of its own, so that results do not
/// depend on the order of computation, and a resumed run goes on as if it had not been interrupted.
public final class Seeds {
    private Seeds() {
    }

    /// The seed of the dropout masks of one micro-batch.
    ///
    /// @param run        seed of the run
    /// @param step       optimizer step
    /// @param microBatch micro-batch within the step
    public static long dropout(long run, long step, long microBatch) {
        return mix(mix(mix(run) + step) + microBatch);
    }

    /// The seed of one module, given that of the whole model.
    static long module(long seed, int index) {
        return mix(mix(seed) + index);
    }

    /// The output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    private static long mix(long z) {
        z += 0x9e3779b97f4a7c15L;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }
}
