package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_matmul_options;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `dense`: products of unquantized matrices.
public final class DenseOps {
    private DenseOps() {
    }

    /// `c` [m, n] = alpha * op(a) [m, k] * op(b) [k, n] + beta * c + bias. With `a` in BF16, `b` is rounded to BF16.
    ///
    /// @param transposeA whether `a` is stored [k, m]
    /// @param transposeB whether `b` is stored [n, k], as weights are
    /// @param beta       with 0, `c` is not read
    /// @param a          F32 or BF16, as are `b` and `c`, each by itself
    /// @param bias       [1, n] or null
    public static void matmul(Stream stream, boolean transposeA, boolean transposeB, float alpha, float beta, Tensor a,
                              Tensor b, Tensor bias, Tensor c) {
        try (Call call = Call.on(stream, "dense.matmul")) {
            MemorySegment options = call.options(nf4j_matmul_options.sizeof());
            nf4j_matmul_options.transpose_a(options, transposeA ? 1 : 0);
            nf4j_matmul_options.transpose_b(options, transposeB ? 1 : 0);
            nf4j_matmul_options.alpha(options, alpha);
            nf4j_matmul_options.beta(options, beta);
            MemorySegment left = call.input(a);
            MemorySegment right = call.input(b);
            MemorySegment summand = call.input(bias);
            MemorySegment output = call.output(c, beta != 0);
            call.check(Nf4jH.nf4j_dense_matmul(call.stream(), options, left, right, summand, output));
        }
    }
}
