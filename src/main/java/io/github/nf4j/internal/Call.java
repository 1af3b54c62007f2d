package io.github.nf4j.internal;

import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntSupplier;

/// The calls of operations on one stream, one at a time. A call keeps everything that it uses open and reachable until it is closed, and
/// writes the C structs of its arguments into native memory that belongs to the stream, so it allocates none:
///
/// ```java
/// try (Call call = Call.on(stream, "memory.cast")) {
///     MemorySegment from = call.input(src);
///     MemorySegment to = call.output(dst);
///     call.check(Nf4jH.nf4j_memory_cast(call.stream(), from, to));
/// }
/// ```
public final class Call implements AutoCloseable {
    private final Handle stream;
    private final Device device;
    private final CallSlots slots;
    private final List<MemorySegment> structs = new ArrayList<>();
    private int usedStructs;
    private final OpenArenas arenas = new OpenArenas();
    private final List<Object> reachable = new ArrayList<>();
    private Capture capture;
    private CallObserver observer;
    private boolean observed; // whether the observer hears of this call; the rest is kept for it alone
    private final List<Tensor> read = new ArrayList<>();
    private final List<Tensor> written = new ArrayList<>();
    private String operation;
    private long beginNanos;

    /// @param stream of `device`
    public Call(Handle stream, Device device) {
        this.stream = stream;
        this.device = device;
        this.slots = new CallSlots(stream);
    }

    /// Begins a call on `stream`, which no other thread may be using.
    ///
    /// @param operation family and function, such as `norm.forward`
    public static Call on(Stream stream, String operation) {
        Call call = Access.get().call(stream);
        call.begin(operation);
        return call;
    }

    private void begin(String name) {
        slots.begin();
        observed = observer != null && capture == null; // what is captured does not run yet
        if (observed) {
            operation = name;
            beginNanos = System.nanoTime();
        }
    }

    /// Lets `observer` hear of every call on `stream` from now on; null ends that. Between two calls only.
    public static void observe(Stream stream, CallObserver observer) {
        Access.get().call(stream).observer = observer;
    }

    /// Who hears of the calls on `stream`, or null.
    public static CallObserver observer(Stream stream) {
        return Access.get().call(stream).observer;
    }

    /// What the calls on the stream use, while they are captured; else null.
    public Capture capture() {
        return capture;
    }

    /// Between two calls only.
    ///
    /// @param newCapture takes what the next calls use; null ends that
    public void setCapture(Capture newCapture) {
        capture = newCapture;
    }

    /// There will be no more calls: the stream is closed.
    public void end() {
        slots.remove();
    }

    /// The `nf4j_stream *`, to be asked for when all other arguments are there, as by [#gathered].
    public MemorySegment stream() {
        gathered();
        return stream.pointer();
    }

    /// What the call uses is complete. Who closes something waits for this moment, so it is to come before the C function.
    public void gathered() {
        slots.run();
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
        if (observed && tensor != null) {
            read.add(tensor);
        }
    }

    private MemorySegment pointedTo(Tensor tensor) {
        if (tensor == null) {
            return MemorySegment.NULL;
        }
        innerData(tensor);
        reachable.add(tensor);
        return Access.get().struct(tensor);
    }

    private MemorySegment argument(Tensor tensor) {
        if (tensor == null) {
            return MemorySegment.NULL;
        }
        MemorySegment struct = Access.get().struct(tensor);
        MemorySegment data = data(tensor);
        if (isCallers(tensor)) {
            reachable.add(tensor); // and so its struct, which the pointer's scope does not keep
            return in(data, struct.address());
        }
        return struct;
    }

    private static boolean isCallers(Tensor tensor) {
        return Access.get().handle(tensor) == null;
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
        if (observed && tensor != null) {
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

    /// A `const nf4j_nf4_weight *`.
    public MemorySegment weight(Nf4Weight nf4) {
        if (nf4 == null) {
            return MemorySegment.NULL;
        }
        hold(Access.get().handle(nf4));
        reachable.add(nf4);
        if (!Access.get().fits(nf4, device)) {
            throw new IllegalArgumentException(nf4 + " has the layout of " + nf4.device() + ", which " + stream
                    + " does not read; export it there and import it here");
        }
        return Access.get().struct(nf4);
    }

    /// Zeroed memory for an option struct of `bytes` bytes, whose first field is set to that size, as `struct_size`
    /// must be.
    public MemorySegment options(long bytes) {
        MemorySegment struct = next(bytes);
        for (long at = 0; at < bytes; at += Long.BYTES) { // a few words, where fill is made for many
            struct.set(ValueLayout.JAVA_LONG, at, 0);
        }
        struct.set(ValueLayout.JAVA_INT, 0, (int) bytes);
        return struct;
    }

    /// Memory for a C array of `count` pointers.
    public MemorySegment pointers(int count) {
        return next(count * ValueLayout.ADDRESS.byteSize());
    }

    /// The first struct that the call has not used, made where the stream has had no call of so many, or so large ones.
    private MemorySegment next(long bytes) {
        int index = usedStructs++;
        if (index == structs.size()) {
            structs.add(MemorySegment.NULL);
        }
        if (structs.get(index).byteSize() < bytes) {
            structs.set(index, Arena.ofAuto().allocate(bytes, Long.BYTES));
        }
        return structs.get(index);
    }

    /// The data pointer of `tensor`, for functions that take one; null becomes a null pointer.
    public MemorySegment data(Tensor tensor) {
        if (tensor == null) {
            return MemorySegment.NULL;
        }
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
        return data;
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
        gathered();
        return arenas.during(function);
    }

    /// Throws where the C function failed.
    public void check(int status) {
        Status.check(status);
        if (observed) {
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
        usedStructs = 0;
        reachable.clear();
        arenas.clear();
        read.clear();
        written.clear();
        slots.end();
    }

    static void checkUsable(MemorySegment segment, Object what) {
        if (!segment.scope().isAlive()) {
            throw new IllegalStateException(what + " lies in an arena that is closed");
        }
        if (!segment.isAccessibleBy(Thread.currentThread())) {
            throw new IllegalStateException(what + " lies in an arena that is confined to another thread");
        }
    }

    /// Keeps what `handle` stands for from being closed until the call is over.
    public void hold(Handle handle) {
        slots.add(handle);
        if (capture != null) {
            capture.keep(handle);
        }
    }
}
