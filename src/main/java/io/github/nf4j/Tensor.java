package io.github.nf4j;

import io.github.nf4j.internal.Handle;
import io.github.nf4j.internal.TensorStruct;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/// A row-major matrix: element (i, j) stands at `segment()` + (i * ld + j) elements. A vector has one row.
///
/// A tensor is an immutable view of memory. One made by [#allocate] owns its memory, and [#close] frees it; every other
/// one is a view of memory whose owner is somebody else, and `close` does nothing.
public final class Tensor implements AutoCloseable {
    private final Memory memory; // null if the memory is the caller's
    private final boolean owner;
    private final MemorySegment segment;
    private final DType dtype;
    private final long rows;
    private final long cols;
    private final long ld;
    private volatile MemorySegment struct; // made when a call first needs it; which thread makes it does not matter

    private Tensor(Memory memory, boolean owner, MemorySegment segment, DType dtype, long rows, long cols, long ld) {
        this.memory = memory;
        this.owner = owner;
        this.segment = segment;
        this.dtype = dtype;
        this.rows = rows;
        this.cols = cols;
        this.ld = ld;
    }

    /// A tensor [rows, cols] in memory of its own, contents undefined.
    ///
    /// @throws OutOfDeviceMemoryException if there is not that much
    public static Tensor allocate(Device device, DType dtype, long rows, long cols) {
        return owning(Memory.allocate(device, span(dtype, rows, cols, cols)), dtype, rows, cols);
    }

    /// As [#allocate], in memory of [Memory#allocatePaged].
    public static Tensor allocatePaged(Device device, DType dtype, long rows, long cols) {
        return owning(Memory.allocatePaged(device, span(dtype, rows, cols, cols)), dtype, rows, cols);
    }

    private static Tensor owning(Memory memory, DType dtype, long rows, long cols) {
        return new Tensor(memory, true, memory.segment(), dtype, rows, cols, cols);
    }

    /// A view [rows, cols] of `memory` from `byteOffset` on, which must be a multiple of the element's size.
    public static Tensor of(Memory memory, long byteOffset, DType dtype, long rows, long cols) {
        long bytes = span(dtype, rows, cols, cols);
        if (byteOffset < 0 || byteOffset > memory.bytes() - bytes || byteOffset % dtype.bytes() != 0) {
            throw new IllegalArgumentException("byteOffset " + byteOffset + ": " + text(dtype, rows, cols, cols)
                    + " needs " + bytes + " bytes of " + memory + " from a multiple of " + dtype.bytes() + " on");
        }
        return new Tensor(memory, false, slice(memory.segment(), byteOffset, bytes), dtype, rows, cols, cols);
    }

    /// A view [rows, cols] of the caller's off-heap memory. Its arena cannot be closed while a call on a host backend uses the
    /// tensor, as an argument or inside one, and a closed one is refused when a call begins. On a GPU a call only queues: there the
    /// caller keeps the arena open until the stream is synchronized.
    public static Tensor ofHost(MemorySegment segment, DType dtype, long rows, long cols) {
        return ofHost(segment, dtype, rows, cols, cols);
    }

    /// As [#ofHost(MemorySegment, DType, long, long)], with `ld` elements from one row to the next.
    public static Tensor ofHost(MemorySegment segment, DType dtype, long rows, long cols, long ld) {
        if (!segment.isNative()) {
            throw new IllegalArgumentException("segment lies on the Java heap, which native code cannot use; "
                    + "allocate it from an Arena, or copy the array into a tensor with copyFrom");
        }
        long bytes = span(dtype, rows, cols, ld);
        if (segment.byteSize() < bytes) {
            throw new IllegalArgumentException("segment has " + segment.byteSize() + " bytes; "
                    + text(dtype, rows, cols, ld) + " needs " + bytes);
        }
        if (segment.address() % dtype.bytes() != 0) {
            throw new IllegalArgumentException("segment begins at address 0x" + Long.toHexString(segment.address())
                    + ", which is not a multiple of " + dtype.bytes() + " as " + dtype
                    + " needs; copy it to aligned memory");
        }
        return new Tensor(null, false, segment.asSlice(0, bytes), dtype, rows, cols, ld);
    }

    /// The rows `from` ... `from + count - 1`, as a view.
    public Tensor rows(long from, long count) {
        Objects.checkFromIndexSize(from, count, rows);
        return view(from * ld, count, cols);
    }

    /// The columns `from` ... `from + count - 1`, as a view with the same `ld`.
    public Tensor columns(long from, long count) {
        Objects.checkFromIndexSize(from, count, cols);
        return view(from, rows, count);
    }

    private Tensor view(long offset, long viewRows, long viewCols) {
        long bytes = span(dtype, viewRows, viewCols, ld);
        long byteOffset = bytes == 0 ? 0 : offset * dtype.bytes();
        return new Tensor(memory, false, slice(segment, byteOffset, bytes), dtype, viewRows, viewCols, ld);
    }

    public DType dtype() {
        return dtype;
    }

    public long rows() {
        return rows;
    }

    public long cols() {
        return cols;
    }

    /// Elements from the begin of one row to the begin of the next, at least [#cols].
    public long ld() {
        return ld;
    }

    /// Whether the rows follow one another without a gap.
    public boolean isContiguous() {
        return ld == cols || rows <= 1;
    }

    /// The memory from the first element to the last; zero-length, with the device address, where the host cannot reach
    /// it.
    public MemorySegment segment() {
        return segment;
    }

    /// Copies `values` (row by row, as many as the tensor has) into it, rounded to nearest even.
    public void copyFrom(float... values) {
        checkLength(values.length);
        for (int i = 0, row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                long at = hostIndex(row, col);
                float value = values[i++];
                switch (dtype) {
                    case F32 -> segment.setAtIndex(ValueLayout.JAVA_FLOAT, at, value);
                    case F16 -> segment.setAtIndex(ValueLayout.JAVA_SHORT, at, Float.floatToFloat16(value));
                    case BF16 -> segment.setAtIndex(ValueLayout.JAVA_SHORT, at, bfloat16(value));
                    case I32, I64, U8 -> throw notOf("floating-point");
                }
            }
        }
    }

    /// The elements, row by row, as F32.
    public float[] toFloatArray() {
        float[] values = new float[Math.toIntExact(rows * cols)];
        for (int i = 0, row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                values[i++] = getFloat(row, col);
            }
        }
        return values;
    }

    /// Element (row, col) as F32.
    public float getFloat(long row, long col) {
        Objects.checkIndex(row, rows);
        Objects.checkIndex(col, cols);
        long at = hostIndex(row, col);
        return switch (dtype) {
            case F32 -> segment.getAtIndex(ValueLayout.JAVA_FLOAT, at);
            case F16 -> Float.float16ToFloat(segment.getAtIndex(ValueLayout.JAVA_SHORT, at));
            case BF16 -> Float.intBitsToFloat(segment.getAtIndex(ValueLayout.JAVA_SHORT, at) << 16);
            case I32, I64, U8 -> throw notOf("floating-point");
        };
    }

    /// Copies `values` (row by row, as many as the tensor has) into an I32 tensor.
    public void setInts(int... values) {
        checkLength(values.length);
        if (dtype != DType.I32) {
            throw notOf("I32");
        }
        for (int i = 0, row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                segment.setAtIndex(ValueLayout.JAVA_INT, hostIndex(row, col), values[i++]);
            }
        }
    }

    /// Frees the memory if this tensor was made by [#allocate]; does nothing otherwise, or when called again.
    ///
    /// @throws IllegalStateException if an operation is using the memory
    @Override
    public void close() {
        if (owner) {
            memory.close();
        }
    }

    @Override
    public String toString() {
        return "tensor " + text(dtype, rows, cols, ld);
    }

    /// The handle of the memory, or null if it is the caller's.
    Handle handle() {
        return memory == null ? null : memory.handle();
    }

    /// The `nf4j_tensor`, which is there as long as this object.
    MemorySegment struct() {
        MemorySegment made = struct;
        if (made == null) {
            made = TensorStruct.of(segment, dtype, rows, cols, ld);
            struct = made;
        }
        return made;
    }

    boolean isHostAccessible() {
        return memory == null || memory.device().isHostAccessible();
    }

    private long hostIndex(long row, long col) {
        if (!isHostAccessible()) {
            throw new UnsupportedOperationException(this + " is in the memory of " + memory.device()
                    + "; copy it to a tensor in host memory first");
        }
        return row * ld + col;
    }

    private void checkLength(int length) {
        if (length != rows * cols) {
            throw new IllegalArgumentException("values has " + length + " elements; " + this + " has " + rows * cols);
        }
    }

    private UnsupportedOperationException notOf(String type) {
        return new UnsupportedOperationException(this + " is not " + type);
    }

    /// Bytes from the first element to the last.
    static long span(DType dtype, long rows, long cols, long ld) {
        Objects.requireNonNull(dtype, "dtype");
        if (rows < 0 || cols < 0 || ld < cols) {
            throw new IllegalArgumentException("shape " + text(dtype, rows, cols, ld)
                    + ": rows and cols must not be negative, and ld not less than cols");
        }
        if (rows == 0 || cols == 0) {
            return 0;
        }
        try {
            return Math.multiplyExact(Math.addExact(Math.multiplyExact(rows - 1, ld), cols), (long) dtype.bytes());
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException("shape " + text(dtype, rows, cols, ld) + " has more than 2^63 bytes", e);
        }
    }

    private static MemorySegment slice(MemorySegment segment, long byteOffset, long bytes) {
        // Device memory is a zero-length segment, of which there are no slices: its address is moved instead.
        return segment.byteSize() == 0 && byteOffset > 0
                ? MemorySegment.ofAddress(segment.address() + byteOffset)
                : segment.asSlice(byteOffset, segment.byteSize() == 0 ? 0 : bytes);
    }

    private static String text(DType dtype, long rows, long cols, long ld) {
        return dtype + " [" + rows + ", " + cols + "]" + (ld == cols ? "" : " with ld " + ld);
    }

    private static short bfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >> 16);
    }
}
