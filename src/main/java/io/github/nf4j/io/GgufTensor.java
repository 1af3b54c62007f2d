package io.github.nf4j.io;

import java.lang.foreign.MemorySegment;

/// A tensor as it lies in a GGUF file.
///
/// @param name  its name in the file, such as `blk.0.attn_q.weight`
/// @param type  how the elements are stored
/// @param shape sizes in Hugging Face's order, slowest dimension first: `[out, in]` for a matrix. Not to be modified.
/// @param data  the elements or blocks, row-major
public record GgufTensor(String name, GgufType type, long[] shape, MemorySegment data) {
    /// Number of elements: the product of the shape.
    public long elements() {
        return Shapes.elements(shape);
    }

    /// Decodes `count` elements from `first` on to F32.
    ///
    /// @param dst `count` floats in native order, aligned to 4 bytes
    /// @throws IllegalArgumentException  if `first` or `count` is not a multiple of the type's block
    /// @throws IndexOutOfBoundsException if the tensor has no such elements
    public void dequantize(long first, long count, MemorySegment dst) {
        int block = type.blockElements();
        if (first % block != 0 || count % block != 0) {
            throw new IllegalArgumentException("tensor '" + name + "': elements " + first + " + " + count
                    + " do not begin and end at blocks of " + block);
        }
        MemorySegment blocks = data.asSlice(first / block * type.blockBytes(), count / block * type.blockBytes());
        type.decoder().decode(blocks, dst, count);
    }
}
