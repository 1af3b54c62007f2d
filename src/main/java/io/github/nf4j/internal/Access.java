package io.github.nf4j.internal;

import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.lang.foreign.MemorySegment;

/// How calls reach what the root package keeps to itself. [Device] installs the one implementation; there is no stream without a device, so
/// it is there in time.
public abstract class Access {
    private static volatile Access installed;

    /// Made when the first call asks for it. What is final the compiler knows.
    private static final class Root {
        static final Access ACCESS = installed;
    }

    public static void install(Access access) {
        installed = access;
    }

    static Access get() {
        return Root.ACCESS;
    }

    protected abstract Call call(Stream stream);

    /// The handle of the memory that `tensor` views, or null if that is a segment of the caller's.
    protected abstract Handle handle(Tensor tensor);

    protected abstract Handle handle(Nf4Weight weight);

    /// The `nf4j_tensor` of `tensor`, which is there as long as the tensor.
    protected abstract MemorySegment struct(Tensor tensor);

    /// The `nf4j_nf4_weight` of `weight`, which is there as long as the weight.
    protected abstract MemorySegment struct(Nf4Weight weight);

    /// Whether the layout of `weight` is that of the backend of `device`.
    protected abstract boolean fits(Nf4Weight weight, Device device);
}
