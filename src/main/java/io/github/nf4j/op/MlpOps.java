package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;

/// Family `mlp`: SwiGLU.
public final class MlpOps {
    private MlpOps() {
    }

    /// `h` = silu(gate) * up, all [m, n], F32 or BF16. `h` may be `gate` or `up`.
    public static void swigluForward(Stream stream, Tensor gate, Tensor up, Tensor h) {
        try (Call call = Call.on(stream, "mlp.swiglu_forward")) {
            call.check(Nf4jH.nf4j_mlp_swiglu_forward(call.stream(), call.input(gate), call.input(up), call.output(h)));
        }
    }

    /// `dgate` = dh * up * silu'(gate), `dup` = dh * silu(gate). `dgate` may be `gate`, `dup` may be `up`.
    public static void swigluBackward(Stream stream, Tensor dh, Tensor gate, Tensor up, Tensor dgate, Tensor dup) {
        try (Call call = Call.on(stream, "mlp.swiglu_backward")) {
            call.check(Nf4jH.nf4j_mlp_swiglu_backward(call.stream(), call.input(dh), call.input(gate), call.input(up),
                    call.output(dgate), call.output(dup)));
        }
    }
}
