package io.github.nf4j.internal;

import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;

/// How calls reach the handles that the root package keeps to itself. [Device] installs the one implementation; there
/// is no stream without a device, so it is there in time.
public abstract class Access {
    private static volatile Access installed;

    public static void install(Access access) {
        installed = access;
    }

    static Access get() {
        return installed;
    }

    protected abstract Handle handle(Stream stream);

    /// The handle of the memory that `tensor` views, or null if that is a segment of the caller's.
    protected abstract Handle handle(Tensor tensor);

    protected abstract Handle handle(Nf4Weight weight);

    /// What the calls on `stream` use, where it is captured, or null.
    protected abstract Capture capture(Stream stream);

    /// Who hears of the calls on `stream`, or null.
    protected abstract CallObserver observer(Stream stream);

    protected abstract void observe(Stream stream, CallObserver observer);

    /// Whether the layout of `weight` is that of the backend of `stream`.
    protected abstract boolean fits(Nf4Weight weight, Stream stream);
}
