package io.github.nf4j.bench.cases;

import java.util.Locale;

/// What is called, and from where.
public enum Scope {
    /// Operations, from C.
    KERNEL,
    /// Operations through FFM, as an application calls them.
    CALL,
    /// What reads and writes files of models, adapters and tokenizers.
    LOAD;

    /// As users and result files write it.
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
