package io.github.nf4j;

import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Handle;
import io.github.nf4j.internal.Status;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// One allocation on a [Device], 64-byte aligned, its contents undefined. Tensors are views of it. Safe for use by
/// several threads; meant to be few and large, as weights of a model or the activations of a step.
public final class Memory implements AutoCloseable {
    private final Device device;
    private final long bytes;
    private final Handle handle;
    private final Arena arena;
    private final MemorySegment segment;

    private Memory(Device device, long bytes, MemorySegment pointer) {
        this.device = device;
        this.bytes = bytes;
        this.handle = new Handle(this, "memory of " + bytes + " bytes on " + device, pointer);
        this.arena = Arena.ofShared();
        this.segment = pointer.reinterpret(device.isHostAccessible() ? bytes : 0, arena, null);
    }

    /// Allocates `bytes` bytes, which may be 0.
    ///
    /// @throws OutOfDeviceMemoryException if there is not that much
    public static Memory allocate(Device device, long bytes) {
        return allocate(device, bytes, false);
    }

    /// As [#allocate], but on a GPU it may be larger than the GPU's memory: its pages come when they are used. For what is used
    /// once a step, such as an optimizer's moments.
    public static Memory allocatePaged(Device device, long bytes) {
        return allocate(device, bytes, true);
    }

    private static Memory allocate(Device device, long bytes, boolean paged) {
        device.handle().acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ValueLayout.ADDRESS);
            MemorySegment pointer = device.handle().pointer();
            Status.check(paged ? Nf4jH.nf4j_memory_alloc_paged(pointer, bytes, result)
                    : Nf4jH.nf4j_memory_alloc(pointer, bytes, result));
            return new Memory(device, bytes, result.get(ValueLayout.ADDRESS, 0));
        } catch (RuntimeException e) {
            device.handle().release();
            throw e;
        }
    }

    public Device device() {
        return device;
    }

    public long bytes() {
        return bytes;
    }

    /// The memory itself on a host-accessible device; elsewhere a zero-length segment with the device address, so that
    /// host code cannot touch it by mistake. It dies with [#close].
    public MemorySegment segment() {
        return segment;
    }

    /// Frees the memory. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if an operation, or another thread through [#segment], is using it
    @Override
    public void close() {
        if (handle.close()) {
            try {
                arena.close();
            } catch (IllegalStateException e) {
                handle.reopen();
                throw e;
            }
            try {
                Status.check(Nf4jH.nf4j_memory_free(device.handle().pointer(), handle.pointer()));
            } finally {
                device.handle().release();
            }
        }
    }

    @Override
    public String toString() {
        return handle.toString();
    }

    Handle handle() {
        return handle;
    }
}
