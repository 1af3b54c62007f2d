package io.github.nf4j.bench.run;

import java.util.Locale;

/// From where the operations of a run are called.
public enum Scope {
    /// From C.
    KERNEL,
    /// Through FFM, as an application does.
    CALL;

    /// As users and result files write it.
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
