package io.github.nf4j;

import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_stream_options;
import io.github.nf4j.internal.Call;
import io.github.nf4j.internal.Handle;
import io.github.nf4j.internal.Status;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.atomic.AtomicInteger;

/// An order of operations on a [Device], with the scratch memory that they use. On host backends an operation is over
/// when it returns; on a GPU it is queued, and [#synchronize] waits.
///
/// One thread at a time may use a stream: a second one gets an [IllegalStateException]. Give each thread its own.
public final class Stream implements AutoCloseable {
    private static final int EXPLAIN_BYTES = 4096;

    private final Device device;
    private final Handle handle;
    private final Call call;
    private final AtomicInteger graphs = new AtomicInteger();

    /// A stream with the backend's default workspace.
    public Stream(Device device) {
        this(device, 0);
    }

    /// @param workspaceBytes scratch memory for operations; 0 takes the backend's default
    /// @throws OutOfDeviceMemoryException if there is no memory for the workspace
    public Stream(Device device, long workspaceBytes) {
        this(device, workspaceBytes, MemorySegment.NULL);
    }

    /// @param nativeStream a stream of another framework's that operations are queued on, or null for an own one
    Stream(Device device, long workspaceBytes, MemorySegment nativeStream) {
        this.device = device;
        device.handle().acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment options = nf4j_stream_options.allocate(arena);
            nf4j_stream_options.struct_size(options, (int) nf4j_stream_options.sizeof());
            nf4j_stream_options.native_stream(options, nativeStream);
            nf4j_stream_options.workspace_bytes(options, workspaceBytes);
            MemorySegment result = arena.allocate(ValueLayout.ADDRESS);
            Status.check(Nf4jH.nf4j_stream_create(device.handle().pointer(), options, result));
            this.handle = new Handle(this, "stream of " + device, result.get(ValueLayout.ADDRESS, 0));
            this.call = new Call(handle, device);
        } catch (RuntimeException e) {
            device.handle().release();
            throw e;
        }
    }

    public Device device() {
        return device;
    }

    /// Waits until every operation of this stream is over.
    ///
    /// @throws DeviceLostException if one of them failed on the device
    public void synchronize() {
        try (Call call = Call.on(this, "stream.synchronize")) {
            call.check(Nf4jH.nf4j_stream_synchronize(call.stream()));
        }
    }

    /// Which kernel variant a call would take on this stream, with its tile, workspace and the reason.
    ///
    /// @param m tokens, 0 where the operation has none; likewise the others
    /// @param n out features
    /// @param k in features
    public String explain(Operation operation, long m, long n, long k, DType dtype) {
        try (Call call = Call.on(this, "stream.explain"); Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(EXPLAIN_BYTES);
            call.check(Nf4jH.nf4j_explain(call.stream(), operation.code(), m, n, k, dtype.code(), text, EXPLAIN_BYTES));
            return text.getString(0);
        }
    }

    public boolean isClosed() {
        return handle.isClosed();
    }

    /// Frees the stream and its workspace, after the operations that were queued are over. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if another thread is using it, or a graph of it is open
    @Override
    public void close() {
        if (handle.close()) {
            if (graphs.get() > 0) {
                handle.reopen();
                throw new IllegalStateException(handle + " cannot be closed: first close its graphs, of which " + graphs + " are open");
            }
            call.end();
            try {
                Status.check(Nf4jH.nf4j_stream_destroy(handle.pointer()));
            } finally {
                device.handle().release();
            }
        }
    }

    @Override
    public String toString() {
        return handle.toString();
    }

    Call call() {
        return call;
    }

    void addGraph() {
        graphs.incrementAndGet();
    }

    void removeGraph() {
        graphs.decrementAndGet();
    }
}
