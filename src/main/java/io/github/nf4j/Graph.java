package io.github.nf4j;

import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import io.github.nf4j.internal.Capture;
import io.github.nf4j.internal.Handle;
import io.github.nf4j.internal.Status;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Calls on one stream, captured once and then launched by one call as often as wanted: a CUDA graph.
///
/// ```java
/// try (Graph graph = Graph.capture(stream, () -> MemoryOps.add(stream, sum, x, sum))) {
///     for (Tensor next : tensors) {
///         MemoryOps.copy(stream, next, x);
///         graph.launch();
///     }
/// }
/// ```
///
/// A launch runs the calls with the arguments that they were captured with: the same tensors and the same numbers. What changes
/// from launch to launch is in device memory: the elements of tensors, [io.github.nf4j.op.LoraWeights#deviceSeed] and
/// [io.github.nf4j.op.AdamwOptions#deviceStep].
///
/// Memory, weights and the stream that the calls used cannot be closed before the graph. Memory of arenas of the caller's can,
/// but not during a launch on a host backend, and a launch afterwards is refused. On a GPU a launch only queues: there the caller keeps
/// them open until the stream is synchronized.
///
/// [Backend#CUDA] and [Backend#SIMT] have graphs; on the others a call is over when it returns. A graph belongs to its stream:
/// one thread at a time may use it.
public final class Graph implements AutoCloseable {
    private final Stream stream;
    private final Capture capture;
    private final Handle handle;

    private Graph(Stream stream, Capture capture, MemorySegment pointer) {
        this.stream = stream;
        this.capture = capture;
        this.handle = new Handle(this, "graph of " + stream, pointer);
        stream.addGraph();
    }

    /// The calls that `calls` makes on `stream`, which are written down instead of run. Waiting for the stream, allocating on its
    /// device and copying weights from or to the host cannot be captured. Make the same calls once before, outside of a graph:
    /// what they allocate is there then, and kernels are loaded. A [io.github.nf4j.op.CallTrace] does not hear of them.
    ///
    /// @throws UnsupportedOperationException if the backend has no graphs
    /// @throws RuntimeException              what `calls` throws; the stream can be used again
    public static Graph capture(Stream stream, Runnable calls) {
        try (Call call = Call.on(stream, "graph.begin")) {
            Status.check(Nf4jH.nf4j_graph_begin(call.stream()));
        }
        Capture capture = new Capture();
        stream.call().setCapture(capture);
        try {
            calls.run();
            return new Graph(stream, capture, end(stream));
        } catch (RuntimeException | Error e) {
            if (stream.call().capture() != null) {
                discard(stream);
            }
            capture.release();
            throw e;
        }
    }

    private static MemorySegment end(Stream stream) {
        stream.call().setCapture(null);
        try (Call call = Call.on(stream, "graph.end"); Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ValueLayout.ADDRESS);
            Status.check(Nf4jH.nf4j_graph_end(call.stream(), result));
            return result.get(ValueLayout.ADDRESS, 0);
        }
    }

    private static void discard(Stream stream) {
        try {
            Status.check(Nf4jH.nf4j_graph_destroy(end(stream)));
        } catch (RuntimeException _) {
            // no graph has come of it; why is on its way to the caller
        }
    }

    public Stream stream() {
        return stream;
    }

    /// Runs the calls, on a GPU behind what is queued on the stream.
    ///
    /// @throws IllegalStateException if it is closed, or if memory of an arena of the caller's is
    public void launch() {
        try (Call call = Call.on(stream, "graph.launch")) {
            call.hold(handle);
            call.gathered();
            call.check(capture.whileOpen(() -> Nf4jH.nf4j_graph_launch(handle.pointer())));
        }
    }

    /// Lets go of everything that the calls used. What is queued still runs. Closing twice does nothing.
    @Override
    public void close() {
        if (handle.close()) {
            try {
                Status.check(Nf4jH.nf4j_graph_destroy(handle.pointer()));
            } finally {
                capture.release();
                stream.removeGraph();
            }
        }
    }

    @Override
    public String toString() {
        return handle.toString();
    }
}
