package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.EmbeddingOps;

/// Rows of a frozen table.
public final class EmbeddingFunction {
    private EmbeddingFunction() {
    }

    /// @param ids   [1, m] I32
    /// @param table [vocabulary, n]
    /// @param dtype type of the result
    /// @return [m, n]
    public static Variable apply(Tape tape, Tensor ids, Tensor table, DType dtype) {
        PooledTensor y = tape.pool().take(dtype, ids.cols(), table.cols());
        EmbeddingOps.forward(tape.stream(), ids, table, y.tensor());
        return tape.constant(y);
    }
}
