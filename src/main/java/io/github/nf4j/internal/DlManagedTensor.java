package io.github.nf4j.internal;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/// The struct `DLManagedTensorVersioned` of `dlpack.h`, version 1, on platforms with 64-bit pointers.
public final class DlManagedTensor {
    private static final int MAJOR = 1;
    private static final int CPU = 1; // kDLCPU
    private static final long READ_ONLY = 1;

    private static final long VERSION_MAJOR = 0;
    private static final long DELETER = 16;
    private static final long FLAGS = 24;
    private static final long DATA = 32;
    private static final long DEVICE_TYPE = 40;
    private static final long NDIM = 48;
    private static final long DTYPE_CODE = 52;
    private static final long DTYPE_BITS = 53;
    private static final long DTYPE_LANES = 54;
    private static final long SHAPE = 56;
    private static final long STRIDES = 64;
    private static final long BYTE_OFFSET = 72;
    private static final long BYTES = 80;

    private static final FunctionDescriptor DELETER_TYPE = FunctionDescriptor.ofVoid(ADDRESS);
    /// What is exported and not deleted yet, by address.
    private static final Map<Long, Exported> EXPORTED = new ConcurrentHashMap<>();

    private DlManagedTensor() {
    }

    /// @param dtype    DLPack's type code in the high byte, bits in the low one
    /// @param strides  in elements, one for each dimension
    /// @param readOnly the flag of that name
    public record Contents(MemorySegment data, int dtype, long[] shape, long[] strides, boolean readOnly) {
    }

    private record Exported(Arena arena, Runnable release) {
    }

    /// What `managed` points to, checked as far as that is possible: data begins at its byte_offset.
    public static Contents read(MemorySegment managed) {
        if (managed.address() == 0) {
            throw new IllegalArgumentException("managed tensor: null");
        }
        MemorySegment struct = MemorySegment.ofAddress(managed.address()).reinterpret(BYTES);
        int major = struct.get(JAVA_INT, VERSION_MAJOR);
        if (major != MAJOR) { // the rest may lie elsewhere
            throw new UnsupportedOperationException("version.major is " + major + ", expected " + MAJOR);
        }
        int device = struct.get(JAVA_INT, DEVICE_TYPE);
        if (device != CPU) {
            throw new UnsupportedOperationException("device_type is " + device + ", expected kDLCPU = " + CPU);
        }
        int lanes = Short.toUnsignedInt(struct.get(JAVA_SHORT, DTYPE_LANES));
        if (lanes != 1) {
            throw new IllegalArgumentException("dtype.lanes is " + lanes + ", expected 1");
        }
        int dimensions = struct.get(JAVA_INT, NDIM);
        if (dimensions < 1 || dimensions > 2) {
            throw new IllegalArgumentException("ndim is " + dimensions + ", expected 1 or 2");
        }
        long[] shape = longs(struct.get(ADDRESS, SHAPE), dimensions);
        MemorySegment given = struct.get(ADDRESS, STRIDES);
        // Before DLPack 1.2 null says that the tensor is compact.
        long[] strides = given.address() != 0 ? longs(given, dimensions)
                : dimensions == 1 ? new long[] {1} : new long[] {shape[1], 1};
        int dtype = Byte.toUnsignedInt(struct.get(JAVA_BYTE, DTYPE_CODE)) << 8
                | Byte.toUnsignedInt(struct.get(JAVA_BYTE, DTYPE_BITS));
        MemorySegment data = MemorySegment.ofAddress(
                struct.get(ADDRESS, DATA).address() + struct.get(JAVA_LONG, BYTE_OFFSET));
        return new Contents(data, dtype, shape, strides, (struct.get(JAVA_LONG, FLAGS) & READ_ONLY) != 0);
    }

    /// Calls the deleter of `managed`; DLPack allows it to be null.
    public static void delete(MemorySegment managed) {
        MemorySegment deleter = managed.reinterpret(BYTES).get(ADDRESS, DELETER);
        if (deleter.address() == 0) {
            return;
        }
        MethodHandle call = Linker.nativeLinker().downcallHandle(deleter, DELETER_TYPE);
        try {
            call.invokeExact(managed);
        } catch (Throwable e) {
            throw new AssertionError("native code throws nothing", e);
        }
    }

    /// A new struct whose deleter runs `release` and frees the struct, once, on whichever thread calls it.
    public static MemorySegment write(Contents contents, Runnable release) {
        Arena arena = Arena.ofShared();
        MemorySegment struct = arena.allocate(BYTES, Long.BYTES);
        struct.set(JAVA_INT, VERSION_MAJOR, MAJOR);
        struct.set(ADDRESS, DELETER, Deleter.STUB);
        struct.set(JAVA_LONG, FLAGS, contents.readOnly() ? READ_ONLY : 0);
        struct.set(ADDRESS, DATA, contents.data());
        struct.set(JAVA_INT, DEVICE_TYPE, CPU);
        struct.set(JAVA_INT, NDIM, contents.shape().length);
        struct.set(JAVA_BYTE, DTYPE_CODE, (byte) (contents.dtype() >> 8));
        struct.set(JAVA_BYTE, DTYPE_BITS, (byte) contents.dtype());
        struct.set(JAVA_SHORT, DTYPE_LANES, (short) 1);
        struct.set(ADDRESS, SHAPE, arena.allocateFrom(JAVA_LONG, contents.shape()));
        struct.set(ADDRESS, STRIDES, arena.allocateFrom(JAVA_LONG, contents.strides()));
        EXPORTED.put(struct.address(), new Exported(arena, release));
        return MemorySegment.ofAddress(struct.address());
    }

    /// Upcall. An exception here would end the process, so a second call does nothing.
    private static void deleted(MemorySegment managed) {
        Exported exported = EXPORTED.remove(managed.address());
        if (exported != null) {
            exported.release().run();
            exported.arena().close();
        }
    }

    private static long[] longs(MemorySegment values, int count) {
        return values.reinterpret((long) count * Long.BYTES).toArray(JAVA_LONG);
    }

    /// The one deleter of all exports, made when the first is.
    private static final class Deleter {
        static final MemorySegment STUB;

        static {
            try {
                MethodHandle target = MethodHandles.lookup().findStatic(DlManagedTensor.class, "deleted",
                        MethodType.methodType(void.class, MemorySegment.class));
                STUB = Linker.nativeLinker().upcallStub(target, DELETER_TYPE, Arena.global());
            } catch (ReflectiveOperationException e) {
                throw new AssertionError(e);
            }
        }
    }
}
