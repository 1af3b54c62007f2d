package io.github.nf4j.internal;

import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_nf4_weight;
import io.github.nf4j.bindings.nf4j_tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntSupplier;

/// One call of an operation. It writes the C structs of the arguments into native memory that belongs to the thread, so
/// a call allocates none, and keeps everything that the call uses open and reachable until it is closed:
///
/// ```java
/// try (Call call = Call.on(stream, "memory.cast")) {
///     call.check(Nf4jH.nf4j_memory_cast(call.stream(), call.input(src), call.output(dst)));
/// }
/// ```
public final class Call implements AutoCloseable {
    private static final ThreadLocal<Call> OF_THREAD = ThreadLocal.withInitial(Call::new);

    private final List<MemorySegment> tensors = new ArrayList<>();
    private final List<MemorySegment> structs = new ArrayList<>();
    private final MemorySegment weight = nf4j_nf4_weight.allocate(Arena.ofAuto());
    private final OpenArenas arenas = new OpenArenas();
    private final List<Handle> held = new ArrayList<>();
    private final List<Object> reachable = new ArrayList<>();
    private Stream owner;
    private Handle stream;
    private CallObserver observer;
    private Capture capture;
    private final List<Tensor> read = new ArrayList<>(); // as the next three, kept for an observer alone
    private final List<Tensor> written = new ArrayList<>();
    private String operation;
    private long beginNanos;
    private int usedTensors;
    private int usedStructs;

    private Call() {
    }

    /// Begins a call on `stream`, which no other thread may be using.
    ///
    /// @param operation family and function, such as `norm.forward`
    public static Call on(Stream stream, String operation) {
        Call call = OF_THREAD.get();
        Handle handle = Access.get().handle(stream);
        handle.acquireAlone();
        call.stream = handle;
        call.owner = stream;
        call.capture = Access.get().capture(stream);
        call.observer = call.capture == null ? Access.get().observer(stream) : null; // nothing runs yet
        if (call.observer != null) {
            call.operation = operation;
            call.beginNanos = System.nanoTime();
        }
        return call;
    }

    /// Lets `observer` hear of every call on `stream` from now on; null ends that. Between two calls only.
    public static void observe(Stream stream, CallObserver observer) {
        Access.get().observe(stream, observer);
    }

    /// Who hears of the calls on `stream`, or null.
    public static CallObserver observer(Stream stream) {
        return Access.get().observer(stream);
    }

    /// The `nf4j_stream *`.
    public MemorySegment stream() {
        return stream.pointer();
    }

    /// A `const nf4j_tensor *` for `tensor`; null becomes a null pointer, which the library accepts or refuses by name.
    public MemorySegment input(Tensor tensor) {
        noteRead(tensor);
        return argument(tensor);
    }

    /// As [#input], for a struct to point to. The C function is then called by [#whileOpen] where [#keepsArenas] says so.
    public MemorySegment inner(Tensor tensor) {
        noteRead(tensor);
        return pointedTo(tensor);
    }

    private void noteRead(Tensor tensor) {
        if (observer != null && tensor != null) {
            read.add(tensor);
        }
    }

    private MemorySegment pointedTo(Tensor tensor) {
        return tensor == null ? MemorySegment.NULL : struct(tensor, innerData(tensor));
    }

    private MemorySegment argument(Tensor tensor) {
        if (tensor == null) {
            return MemorySegment.NULL;
        }
        MemorySegment data = hold(tensor);
        MemorySegment struct = struct(tensor, data);
        return isCallers(tensor) ? in(data, struct.address()) : struct;
    }

    private static boolean isCallers(Tensor tensor) {
        return Access.get().handle(tensor) == null;
    }

    private MemorySegment struct(Tensor tensor, MemorySegment data) {
        MemorySegment struct = next(tensors, usedTensors++, nf4j_tensor.sizeof());
        nf4j_tensor.data(struct, data);
        nf4j_tensor.rows(struct, tensor.rows());
        nf4j_tensor.cols(struct, tensor.cols());
        nf4j_tensor.ld(struct, tensor.ld());
        nf4j_tensor.dtype(struct, tensor.dtype().code());
        return struct;
    }

    /// A pointer to `address` with the scope of `segment`. The linker keeps the scope of what it passes by reference open
    /// until the call returns: an arena of the caller's is closed before or after it, never meanwhile.
    private static MemorySegment in(MemorySegment segment, long address) {
        // Addresses wrap, and slices only go up: a distance beyond the largest long takes two steps.
        long distance = address - segment.address();
        long half = distance >>> 1;
        return segment.reinterpret(Long.MAX_VALUE).asSlice(half, 0).reinterpret(Long.MAX_VALUE).asSlice(distance - half, 0);
    }

    /// As [#input], for a tensor that the call writes.
    ///
    /// @throws IllegalArgumentException if its memory is read-only, such as that of a file mapped for reading
    public MemorySegment output(Tensor tensor) {
        noteWritten(tensor);
        return argument(tensor);
    }

    /// As [#output(Tensor)], for a struct or an array to point to, as [#inner].
    public MemorySegment innerOutput(Tensor tensor) {
        noteWritten(tensor);
        return pointedTo(tensor);
    }

    private void noteWritten(Tensor tensor) {
        if (tensor != null && tensor.segment().isReadOnly()) {
            throw new IllegalArgumentException(tensor + " is an output of this call, but its memory is read-only");
        }
        if (observer != null && tensor != null) {
            written.add(tensor);
        }
    }

    /// As [#output(Tensor)], for a tensor that the call may add to.
    ///
    /// @param added whether it does, and so reads it as well
    public MemorySegment output(Tensor tensor, boolean added) {
        noteRead(added ? tensor : null);
        return output(tensor);
    }

    /// A `const nf4j_nf4_weight *`. At most one a call.
    public MemorySegment weight(Nf4Weight nf4) {
        if (nf4 == null) {
            return MemorySegment.NULL;
        }
        hold(Access.get().handle(nf4));
        reachable.add(nf4);
        if (!Access.get().fits(nf4, owner)) {
            throw new IllegalArgumentException(nf4 + " has the layout of " + nf4.device() + ", which " + stream
                    + " does not read; export it there and import it here");
        }
        nf4j_nf4_weight.struct_size(weight, (int) nf4j_nf4_weight.sizeof());
        nf4j_nf4_weight.double_quant(weight, nf4.doubleQuant() ? 1 : 0);
        nf4j_nf4_weight.rows(weight, nf4.rows());
        nf4j_nf4_weight.cols(weight, nf4.cols());
        nf4j_nf4_weight.block_size(weight, nf4.blockSize());
        nf4j_nf4_weight.data(weight, nf4.segment());
        nf4j_nf4_weight.bytes(weight, nf4.bytes());
        return weight;
    }

    /// Zeroed memory for an option struct of `bytes` bytes, whose first field is set to that size, as `struct_size`
    /// must be.
    public MemorySegment options(long bytes) {
        MemorySegment struct = next(structs, usedStructs++, bytes).fill((byte) 0);
        struct.set(ValueLayout.JAVA_INT, 0, (int) bytes);
        return struct;
    }

    /// Memory for a C array of `count` pointers.
    public MemorySegment pointers(int count) {
        return next(structs, usedStructs++, count * ValueLayout.ADDRESS.byteSize());
    }

    /// The first struct that the call has not used, made where the thread has had no call of so many, or so large ones.
    private static MemorySegment next(List<MemorySegment> structs, int used, long bytes) {
        if (used == structs.size()) {
            structs.add(MemorySegment.NULL);
        }
        if (structs.get(used).byteSize() < bytes) {
            structs.set(used, Arena.ofAuto().allocate(bytes, Long.BYTES));
        }
        return structs.get(used);
    }

    /// The data pointer of `tensor`, for functions that take one; null becomes a null pointer.
    public MemorySegment data(Tensor tensor) {
        return tensor == null ? MemorySegment.NULL : hold(tensor);
    }

    /// As [#data], for a struct, as for [#inner].
    public MemorySegment innerData(Tensor tensor) {
        MemorySegment data = data(tensor);
        if (tensor != null && isCallers(tensor)) {
            arenas.add(data);
        }
        return data;
    }

    /// The pointer of a segment of the caller's, for a struct, as for [#inner]; null becomes a null pointer.
    public MemorySegment host(MemorySegment segment) {
        if (segment == null) {
            return MemorySegment.NULL;
        }
        checkUsable(segment, segment);
        reachable.add(segment);
        arenas.add(segment);
        return segment;
    }

    /// Keeps `object` reachable until the call is over.
    public void keep(Object object) {
        reachable.add(object);
    }

    /// Whether structs point into arenas of the caller's, so that [#whileOpen] is to call the C function. Where they do not, the function is
    /// called as any other one, and no object is made for it.
    public boolean keepsArenas() {
        return !arenas.isEmpty();
    }

    /// The status of `function`, a C function: the caller's arenas that structs point into stay open meanwhile.
    public int whileOpen(IntSupplier function) {
        return arenas.during(function);
    }

    /// Throws where the C function failed.
    public void check(int status) {
        Status.check(status);
        if (observer != null) {
            Status.check(Nf4jH.nf4j_stream_synchronize(stream.pointer())); // a GPU has only queued it
            observer.called(this, beginNanos, System.nanoTime());
        }
    }

    /// Family and function. As [#read], [#written] and [#kept], for observers.
    public String operation() {
        return operation;
    }

    /// The tensors that the call reads, in the order of the arguments.
    public List<Tensor> read() {
        return read;
    }

    /// The tensors that the call writes, in the order of the arguments.
    public List<Tensor> written() {
        return written;
    }

    /// The argument of that type that was given to [#keep] or [#weight], or null.
    public <T> T kept(Class<T> type) {
        for (Object object : reachable) {
            if (type.isInstance(object)) {
                return type.cast(object);
            }
        }
        return null;
    }

    /// Ends the call: everything it held may be closed again.
    @Override
    public void close() {
        for (int i = 0; i < held.size(); i++) {
            letGo(held.get(i));
        }
        held.clear();
        reachable.clear();
        read.clear();
        written.clear();
        observer = null;
        capture = null;
        usedTensors = 0;
        usedStructs = 0;
        arenas.clear();
        stream.release();
        stream = null;
        owner = null;
    }

    private MemorySegment hold(Tensor tensor) {
        Handle handle = Access.get().handle(tensor);
        MemorySegment data = tensor.segment();
        if (handle != null) {
            hold(handle);
        } else {
            checkUsable(data, tensor);
            if (capture != null) {
                capture.keep(data);
            }
        }
        reachable.add(tensor);
        return data;
    }

    static void checkUsable(MemorySegment segment, Object what) {
        if (!segment.scope().isAlive()) {
            throw new IllegalStateException(what + " lies in an arena that is closed");
        }
        if (!segment.isAccessibleBy(Thread.currentThread())) {
            throw new IllegalStateException(what + " lies in an arena that is confined to another thread");
        }
    }

    private void letGo(Handle handle) {
        if (capture == null) {
            handle.release();
        } else {
            capture.take(handle);
        }
    }

    /// Keeps what `handle` stands for from being closed until the call is over.
    public void hold(Handle handle) {
        handle.acquire();
        held.add(handle);
    }
}
