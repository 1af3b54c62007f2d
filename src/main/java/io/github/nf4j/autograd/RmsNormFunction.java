package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.NormOps;

/// `y = x / sqrt(mean(x²) + eps) · weight` with a frozen weight.
public final class RmsNormFunction {
    private RmsNormFunction() {
    }

    /// @param x      [m, n]
    /// @param weight [1, n]
    /// @return as `x`
    public static Variable apply(Tape tape, Variable x, Tensor weight, float eps) {
        PooledTensor rstd = tape.pool().take(DType.F32, 1, x.form().rows());
        PooledTensor y = tape.takeLike(x.form());
        NormOps.forward(tape.stream(), x.value(), weight, eps, rstd.tensor(), y.tensor());
        Variable output = x.requiresGrad()
                ? tape.recorded(y, dy -> backward(tape, x, weight, rstd.tensor(), dy.tensor()), x.pooled(), rstd)
                : tape.constant(y);
        rstd.release();
        return output;
    }

    private static void backward(Tape tape, Variable x, Tensor weight, Tensor rstd, Tensor dy) {
        boolean accumulate = x.hasGradient();
        NormOps.backward(tape.stream(), dy, x.value(), weight, rstd, accumulate, null, tape.gradientOf(x));
    }
}
