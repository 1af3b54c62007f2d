package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `rope`: rotary position embedding of half-split heads.
public final class RopeOps {
    private RopeOps() {
    }

    /// `table` [m, headDim] F32 = scale * cos(p * f), then scale * sin(p * f), computed in F32 as transformers does.
    ///
    /// @param positions [1, m] I32
    /// @param invFreq   [1, headDim / 2] F32
    public static void table(Stream stream, Tensor positions, Tensor invFreq, float scale, Tensor table) {
        try (Call call = Call.on(stream, "rope.table")) {
            MemorySegment places = call.input(positions);
            MemorySegment frequencies = call.input(invFreq);
            MemorySegment output = call.output(table);
            call.check(Nf4jH.nf4j_rope_table(call.stream(), places, frequencies, scale, output));
        }
    }

    /// Rotates each head of `x` [m, heads * headDim]: y1 = x1 * cos - x2 * sin, y2 = x2 * cos + x1 * sin. `y` may be
    /// `x`.
    public static void forward(Stream stream, Tensor x, Tensor table, Tensor y) {
        try (Call call = Call.on(stream, "rope.forward")) {
            MemorySegment input = call.input(x);
            MemorySegment angles = call.input(table);
            MemorySegment output = call.output(y);
            call.check(Nf4jH.nf4j_rope_forward(call.stream(), input, angles, output));
        }
    }

    /// The transpose of [#forward]: rotates by the negative angle. `dx` may be `dy`.
    public static void backward(Stream stream, Tensor dy, Tensor table, Tensor dx) {
        try (Call call = Call.on(stream, "rope.backward")) {
            MemorySegment gradient = call.input(dy);
            MemorySegment angles = call.input(table);
            MemorySegment toX = call.output(dx);
            call.check(Nf4jH.nf4j_rope_backward(call.stream(), gradient, angles, toX));
        }
    }
}
