package io.github.nf4j.io;

import io.github.nf4j.DType;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Optional;

/// Weights in one container format, by their Hugging Face names; see [ModelFiles] for the contracts.
sealed interface WeightSource permits SafetensorsWeights, GgufWeights {
    boolean has(String name);

    /// The file that holds, or should hold, a weight.
    Path file(String name);

    long[] shape(String name);

    DType storedType(String name);

    /// The range of rows is checked, and `dst` is exactly as large as they are.
    void decodeRows(String name, long firstRow, long rows, MemorySegment dst);

    Optional<RawTensor> raw(String name);
}
