package io.github.nf4j.io;

import io.github.nf4j.DType;
import java.lang.foreign.MemorySegment;

/// A tensor as it lies in a file or is about to be written to one: row-major, little-endian, without padding.
///
/// @param name  its name in the file
/// @param dtype type of the elements
/// @param shape sizes, slowest dimension first; empty for a scalar. Not to be modified.
/// @param data  the elements, `elements() * dtype.bytes()` bytes outside the heap. A mapped file gives no promise about
///              alignment: read it with the `JAVA_*_UNALIGNED` layouts.
public record RawTensor(String name, DType dtype, long[] shape, MemorySegment data) {
    /// @throws IllegalArgumentException if the data is on the heap or its size is not that of the shape
    public RawTensor {
        if (!data.isNative()) {
            throw new IllegalArgumentException("tensor '" + name + "': data is on the heap; expected off-heap memory");
        }
        long bytes = Math.multiplyExact(Shapes.elements(shape), dtype.bytes());
        if (data.byteSize() != bytes) {
            throw new IllegalArgumentException("tensor '" + name + "': data has " + data.byteSize() + " bytes, " + dtype
                    + " " + Shapes.text(shape) + " has " + bytes);
        }
    }

    /// Number of elements: the product of the shape.
    public long elements() {
        return Shapes.elements(shape);
    }
}
