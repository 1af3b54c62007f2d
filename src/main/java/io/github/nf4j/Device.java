package io.github.nf4j;

import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_device_info;
import io.github.nf4j.bindings.nf4j_device_options;
import io.github.nf4j.internal.Access;
import io.github.nf4j.internal.Call;
import io.github.nf4j.internal.Handle;
import io.github.nf4j.internal.NativeLibrary;
import io.github.nf4j.internal.Status;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Locale;

/// One opened backend: a GPU, or the processor with a thread pool of its own. Streams and memory are made from it, and
/// must be closed before it. Safe for use by several threads.
public final class Device implements AutoCloseable {
    private static final int PROBE_BYTES = 4096;

    static {
        Access.install(new RootAccess());
    }

    private final Handle handle;
    private final DeviceInfo openInfo;

    private Device(MemorySegment pointer) {
        this.openInfo = info(pointer);
        this.handle = new Handle(this, "device " + openInfo.backend().name().toLowerCase(Locale.ROOT), pointer);
    }

    /// Opens `backend` with its defaults.
    ///
    /// @throws BackendUnavailableException if its library or device is missing, with what was tried
    /// @throws Nf4jException               if the native library cannot be loaded, with every place that was tried
    public static Device open(Backend backend) {
        return open(DeviceOptions.of(backend));
    }

    /// As [#open(Backend)], with a choice of threads, instruction set or GPU.
    public static Device open(DeviceOptions options) {
        NativeLibrary.load();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = nf4j_device_options.allocate(arena);
            nf4j_device_options.struct_size(struct, (int) nf4j_device_options.sizeof());
            nf4j_device_options.backend(struct, options.backend().code());
            nf4j_device_options.ordinal(struct, options.ordinal());
            nf4j_device_options.threads(struct, options.threads());
            nf4j_device_options.isa(struct, options.isa().code());
            MemorySegment result = arena.allocate(ValueLayout.ADDRESS);
            Status.check(Nf4jH.nf4j_device_open(struct, result));
            return new Device(result.get(ValueLayout.ADDRESS, 0));
        }
    }

    /// Why `backend` can or cannot be opened on this machine, and for [Backend#CPU] each instruction set: one line
    /// each.
    public static String probe(Backend backend) {
        NativeLibrary.load();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(PROBE_BYTES);
            Status.check(Nf4jH.nf4j_backend_probe(backend.code(), text, PROBE_BYTES));
            return text.getString(0);
        }
    }

    /// What this device is, with the memory that is free now.
    public DeviceInfo info() {
        handle.acquire();
        try {
            return info(handle.pointer());
        } finally {
            handle.release();
        }
    }

    /// Whether device memory is ordinary memory, so that [Memory#segment] and [Tensor#segment] can be read and written.
    public boolean isHostAccessible() {
        return openInfo.hostAccessible();
    }

    public Stream newStream() {
        return new Stream(this);
    }

    /// @param workspaceBytes scratch memory for operations; 0 takes the backend's default
    public Stream newStream(long workspaceBytes) {
        return new Stream(this, workspaceBytes);
    }

    /// A stream that queues its operations on one of another framework's, so that both keep one order. The other
    /// framework goes on owning it: it outlives this object, whose closing leaves it as it is.
    ///
    /// @param nativeStream   the handle of the foreign stream: a `CUstream`, which is the same as a `cudaStream_t`
    /// @param workspaceBytes scratch memory for operations; 0 takes the backend's default
    /// @throws IllegalArgumentException if this is a host backend, which has no native streams, or `nativeStream` is 0
    public Stream wrapStream(long nativeStream, long workspaceBytes) {
        if (nativeStream == 0) {
            throw new IllegalArgumentException("nativeStream is 0, the legacy default stream, which cannot be wrapped; "
                    + "give a stream that was created");
        }
        return new Stream(this, workspaceBytes, MemorySegment.ofAddress(nativeStream));
    }

    /// Closes the device. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if a stream or memory made from it is still open
    @Override
    public void close() {
        if (handle.close()) {
            Status.check(Nf4jH.nf4j_device_close(handle.pointer()));
        }
    }

    @Override
    public String toString() {
        return handle.toString();
    }

    Handle handle() {
        return handle;
    }

    private static DeviceInfo info(MemorySegment pointer) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = nf4j_device_info.allocate(arena);
            nf4j_device_info.struct_size(struct, (int) nf4j_device_info.sizeof());
            Status.check(Nf4jH.nf4j_device_get_info(pointer, struct));
            return new DeviceInfo(
                    Backend.values()[nf4j_device_info.backend(struct)],
                    nf4j_device_info.ordinal(struct),
                    nf4j_device_info.threads(struct),
                    Isa.values()[nf4j_device_info.isa(struct)],
                    nf4j_device_info.host_accessible(struct) != 0,
                    nf4j_device_info.total_memory(struct),
                    nf4j_device_info.free_memory(struct),
                    nf4j_device_info.name(struct).getString(0));
        }
    }

    private static final class RootAccess extends Access {
        @Override
        protected Call call(Stream stream) {
            return stream.call();
        }

        @Override
        protected Handle handle(Tensor tensor) {
            return tensor.handle();
        }

        @Override
        protected Handle handle(Nf4Weight weight) {
            return weight.handle();
        }

        @Override
        protected MemorySegment struct(Tensor tensor) {
            return tensor.struct();
        }

        @Override
        protected MemorySegment struct(Nf4Weight weight) {
            return weight.struct();
        }

        @Override
        protected boolean fits(Nf4Weight weight, Device device) {
            return weight.device().openInfo.backend() == device.openInfo.backend();
        }
    }
}
