package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `norm`: RMSNorm.
public final class NormOps {
    private NormOps() {
    }

    /// `rstd` [1, m] F32 = 1 / sqrt(mean(x^2) + eps), `y` [m, n] = x * rstd * weight.
    ///
    /// @param x      [m, n] F32 or BF16
    /// @param weight [1, n] F32 or of the type of `x`
    public static void forward(Stream stream, Tensor x, Tensor weight, float eps, Tensor rstd, Tensor y) {
        try (Call call = Call.on(stream, "norm.forward")) {
            MemorySegment input = call.input(x);
            MemorySegment factors = call.input(weight);
            MemorySegment scales = call.output(rstd);
            MemorySegment output = call.output(y);
            call.check(Nf4jH.nf4j_norm_forward(call.stream(), input, factors, eps, scales, output));
        }
    }

    /// With g = dy * weight and xh = x * rstd: `dx` = rstd * (g - xh * mean(g * xh)), `dweight` += sum(dy * xh).
    ///
    /// @param accumulateDx whether `dx` is added to
    /// @param dweight      [1, n] F32, added to, or null
    /// @param dx           [m, n]; may be `dy` when not accumulating
    public static void backward(Stream stream, Tensor dy, Tensor x, Tensor weight, Tensor rstd, boolean accumulateDx,
                                Tensor dweight, Tensor dx) {
        try (Call call = Call.on(stream, "norm.backward")) {
            MemorySegment gradient = call.input(dy);
            MemorySegment input = call.input(x);
            MemorySegment factors = call.input(weight);
            MemorySegment scales = call.input(rstd);
            MemorySegment toWeight = call.output(dweight, true);
            MemorySegment toX = call.output(dx, accumulateDx);
            call.check(Nf4jH.nf4j_norm_backward(call.stream(), gradient, input, factors, scales, accumulateDx ? 1 : 0, toWeight, toX));
        }
    }
}
