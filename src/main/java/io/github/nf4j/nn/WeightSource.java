package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Optional;

/// Where a model's weights come from, by their Hugging Face names (`model.layers.0.self_attn.q_proj.weight`).
public interface WeightSource {
    boolean has(String name);

    /// The shape of a weight, `[out, in]` for a matrix, also where it is stored quantized.
    long[] shape(String name);

    /// The type that a weight is stored in, or that it decodes to without loss.
    DType storedType(String name);

    /// Decodes rows of a weight that is not quantized. A vector is one row.
    ///
    /// @param dst F32 `[rows, columns]`
    void readF32Rows(String name, long firstRow, long rows, MemorySegment dst);

    /// A weight that is stored as NF4; empty if it is stored otherwise.
    ///
    /// @param allocator for copies of parts that do not lie aligned
    Optional<Nf4State> quantized(String name, SegmentAllocator allocator);
}
