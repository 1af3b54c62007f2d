package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;

/// Family `lora`: a frozen linear layer, dense or NF4, fused with its adapter.
public final class LoraOps {
    private LoraOps() {
    }

    /// `u` [m, rank] = drop(x) * A^T and `y` [m, out] = x * W^T + bias + scale * u * B^T, in one accumulator.
    ///
    /// @param x [m, in] F32 or BF16
    /// @param u F32, kept for [#backward]
    /// @param y of the type of `x`
    public static void forward(Stream stream, Tensor x, LinearWeight base, LoraWeights lora, Tensor u, Tensor y) {
        try (Call call = Call.on(stream, "lora.forward")) {
            call.check(Nf4jH.nf4j_lora_forward(call.stream(), call.input(x), Structs.linear(call, base),
                    Structs.lora(call, lora), call.output(u), call.output(y)));
        }
    }

    /// With du = scale * dy * B: `da` += du^T * drop(x), `db` += scale * dy^T * u, `dx` = dy * W + drop'(du * A).
    ///
    /// @param dy           [m, out] of the type of `x`
    /// @param u            as [#forward] left it
    /// @param accumulateDx whether `dx` is added to
    /// @param da           [rank, in] F32, added to
    /// @param db           [out, rank] F32, added to
    /// @param dx           [m, in], or null where no gradient is needed
    public static void backward(Stream stream, Tensor x, Tensor dy, Tensor u, LinearWeight base, LoraWeights lora,
                                boolean accumulateDx, Tensor da, Tensor db, Tensor dx) {
        try (Call call = Call.on(stream, "lora.backward")) {
            call.check(Nf4jH.nf4j_lora_backward(call.stream(), call.input(x), call.input(dy), call.input(u),
                    Structs.linear(call, base), Structs.lora(call, lora), accumulateDx ? 1 : 0, call.output(da, true),
                    call.output(db, true), call.output(dx, accumulateDx)));
        }
    }
}
