package io.github.nf4j.internal;

import java.lang.ref.Cleaner;

/// Reports objects that became garbage without having been closed. It frees nothing: only the owner knows when the work
/// that uses them is over.
final class LeakDetector {
    private static final Cleaner CLEANER = Cleaner.create();
    private static final System.Logger LOGGER = System.getLogger(LeakDetector.class.getName());

    private LeakDetector() {
    }

    /// Reports `handle` when `owner`, which it must not refer to, becomes garbage and it is still open.
    static void watch(Object owner, Handle handle) {
        Throwable origin = Boolean.getBoolean("nf4j.trackLeaks") ? new Throwable(handle + " was made here") : null;
        CLEANER.register(owner, () -> {
            if (!handle.isClosed()) {
                LOGGER.log(System.Logger.Level.WARNING, handle + " was never closed; its native memory is lost"
                        + (origin == null ? ". Run with -Dnf4j.trackLeaks=true to see where it was made." : "."),
                        origin);
            }
        });
    }
}
