package io.github.nf4j.bench.run;

import java.util.OptionalLong;

/// Something whose calls are timed in turns with others'.
public interface Contender {
    String name();

    /// Of another library; null for ours.
    default String version() {
        return null;
    }

    /// Microseconds per call of `count` samples, taken now.
    double[] sample(int count);

    /// Nanoseconds that one sample takes, roughly; it may run calls to find out.
    long nanosPerSample();

    /// The process that does the work, if it is not this one.
    default OptionalLong pid() {
        return OptionalLong.empty();
    }
}
