package example;

import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.Nf4Ops;

/// What a project that links nf4j might have: a frozen layer, and the two ways to compute it.
final class FrozenLayer {
    private final Stream stream;
    private final Nf4Weight weight;
    private final Tensor scratch;

    /// @param scratch F32 [out, in] for [#decodeFirst]
    FrozenLayer(Stream stream, Nf4Weight weight, Tensor scratch) {
        this.stream = stream;
        this.weight = weight;
        this.scratch = scratch;
    }

    /// The product with the packed weight.
    void fused(Tensor x, Tensor y) {
        Nf4Ops.matmul(stream, x, weight, null, y);
    }

    /// The same by way of a decoded copy of the weight.
    void decodeFirst(Tensor x, Tensor y) {
        Nf4Ops.dequantize(stream, weight, 0, scratch);
        DenseOps.matmul(stream, false, true, 1, 0, x, scratch, null, y);
    }
}
