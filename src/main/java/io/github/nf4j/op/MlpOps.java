package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `mlp`: SwiGLU.
public final class MlpOps {
    private MlpOps() {
    }

    /// `h` = silu(gate) * up, all [m, n], F32 or BF16. `h` may be `gate` or `up`.
    public static void swigluForward(Stream stream, Tensor gate, Tensor up, Tensor h) {
        try (Call call = Call.on(stream, "mlp.swiglu_forward")) {
            MemorySegment left = call.input(gate);
            MemorySegment right = call.input(up);
            MemorySegment output = call.output(h);
            call.check(Nf4jH.nf4j_mlp_swiglu_forward(call.stream(), left, right, output));
        }
    }

    /// `dgate` = dh * up * silu'(gate), `dup` = dh * silu(gate). `dgate` may be `gate`, `dup` may be `up`.
    public static void swigluBackward(Stream stream, Tensor dh, Tensor gate, Tensor up, Tensor dgate, Tensor dup) {
        try (Call call = Call.on(stream, "mlp.swiglu_backward")) {
            MemorySegment gradient = call.input(dh);
            MemorySegment left = call.input(gate);
            MemorySegment right = call.input(up);
            MemorySegment toLeft = call.output(dgate);
            MemorySegment toRight = call.output(dup);
            call.check(Nf4jH.nf4j_mlp_swiglu_backward(call.stream(), gradient, left, right, toLeft, toRight));
        }
    }
}
