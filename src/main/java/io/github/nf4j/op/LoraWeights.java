package io.github.nf4j.op;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;

/// A LoRA adapter of one linear layer: y += scale * drop(x) * A^T * B^T with scale = alpha / rank, or alpha /
/// sqrt(rank) when rank-stabilized.
///
/// @param a              [rank, in] F32 or BF16
/// @param b              [out, rank]
/// @param alpha          numerator of the scale
/// @param rankStabilized whether the scale divides by sqrt(rank)
/// @param dropout        probability 0 <= p < 1 that an element of x is dropped for the adapter
/// @param seed           key of the dropout mask: the same in forward, backward and recomputation; another for each
///                       layer and step
/// @param deviceSeed     I64 [1, 1] in device memory, which counts instead of `seed`, and which a [io.github.nf4j.Graph] reads
///                       with each launch; or null
public record LoraWeights(Tensor a, Tensor b, float alpha, boolean rankStabilized, float dropout, long seed, Tensor deviceSeed) {
    public LoraWeights {
        if (deviceSeed != null && (deviceSeed.dtype() != DType.I64 || deviceSeed.rows() != 1 || deviceSeed.cols() != 1)) {
            throw new IllegalArgumentException("deviceSeed is a " + deviceSeed + "; it must be I64 [1, 1]");
        }
    }

    /// An adapter whose seed is given here.
    public LoraWeights(Tensor a, Tensor b, float alpha, boolean rankStabilized, float dropout, long seed) {
        this(a, b, alpha, rankStabilized, dropout, seed, null);
    }

    /// An adapter without dropout, with the plain scale.
    public LoraWeights(Tensor a, Tensor b, float alpha) {
        this(a, b, alpha, false, 0, 0);
    }
}
