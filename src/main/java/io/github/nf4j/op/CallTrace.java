package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.internal.Call;
import io.github.nf4j.internal.CallObserver;
import java.util.ArrayList;
import java.util.List;

/// Writes down each call on a stream until it is closed: what a framework's profiler is made of.
///
/// ```java
/// try (CallTrace trace = CallTrace.of(stream)) {
///     NormOps.forward(stream, x, weight, 1e-5f, rstd, y);
///     IO.println(trace.entries());
/// }
/// ```
///
/// On a GPU each call is waited for, so that its time is its own; what would overlap does not then.
public final class CallTrace implements AutoCloseable {
    private final Stream stream;
    private final List<Entry> entries = new ArrayList<>();
    private final CallObserver recorder = new Recorder();
    private String section;

    /// One call.
    ///
    /// @param operation  family and function as in the C header, such as `norm.forward`
    /// @param section    the part of a model that it belongs to, or null
    /// @param beginNanos of [System#nanoTime], as `endNanos`
    public record Entry(String operation, String section, long beginNanos, long endNanos, Work work) {
    }

    private CallTrace(Stream stream) {
        this.stream = stream;
    }

    /// Begins to trace a stream that no other thread is using.
    ///
    /// @throws IllegalStateException if it is traced already
    public static CallTrace of(Stream stream) {
        if (Call.observer(stream) != null) {
            throw new IllegalStateException(stream + " is traced already");
        }
        CallTrace trace = new CallTrace(stream);
        Call.observe(stream, trace.recorder);
        return trace;
    }

    /// Names the part of a model that the next calls on a stream belong to, or null. Does nothing unless the stream is traced.
    public static void section(Stream stream, String name) {
        CallObserver observer = Call.observer(stream);
        if (observer != null) {
            observer.section(name);
        }
    }

    /// The calls so far, in their order.
    public List<Entry> entries() {
        return List.copyOf(entries);
    }

    /// Ends the trace. Closing twice does nothing.
    @Override
    public void close() {
        if (Call.observer(stream) == recorder) {
            Call.observe(stream, null);
        }
    }

    private final class Recorder implements CallObserver {
        @Override
        public void called(Call call, long beginNanos, long endNanos) {
            entries.add(new Entry(call.operation(), section, beginNanos, endNanos, Work.of(call)));
        }

        @Override
        public void section(String name) {
            section = name;
        }
    }
}
