package io.github.nf4j.internal;

/// Hears of the calls on a stream, for profiles. A stream that nobody observes pays for it with a null check.
public interface CallObserver {
    /// A call is over, also on a GPU, which is waited for. What it was given can be asked of `call` until this returns.
    void called(Call call, long beginNanos, long endNanos);

    /// The part of a model that the following calls belong to, or null.
    void section(String name);
}
