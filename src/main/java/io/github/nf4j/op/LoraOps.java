package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

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
            MemorySegment input = call.input(x);
            MemorySegment linear = Structs.linear(call, base);
            MemorySegment adapter = Structs.lora(call, lora);
            MemorySegment narrow = call.output(u);
            MemorySegment output = call.output(y);
            call.check(call.keepsArenas()
                    ? call.whileOpen(() -> Nf4jH.nf4j_lora_forward(call.stream(), input, linear, adapter, narrow, output))
                    : Nf4jH.nf4j_lora_forward(call.stream(), input, linear, adapter, narrow, output));
        }
    }

    /// The first half of [#forward] for adapters that share `x`, such as those of q, k and v, in one pass over it, and to the same bits:
    /// `us[i]` [m, rank] = drop(x) * A^T of `loras[i]`.
    ///
    /// @param x     [m, in] F32 or BF16
    /// @param loras whose `b` and scale are not read
    /// @param us    F32, one for each adapter
    public static void project(Stream stream, Tensor x, List<LoraWeights> loras, List<Tensor> us) {
        if (us.size() != loras.size()) {
            throw new IllegalArgumentException(us.size() + " us for " + loras.size() + " adapters");
        }
        try (Call call = Call.on(stream, "lora.project")) {
            MemorySegment input = call.input(x);
            MemorySegment adapters = call.pointers(loras.size());
            MemorySegment outputs = call.pointers(us.size());
            for (int i = 0; i < loras.size(); i++) {
                adapters.setAtIndex(ValueLayout.ADDRESS, i, Structs.projected(call, loras.get(i)));
                outputs.setAtIndex(ValueLayout.ADDRESS, i, call.innerOutput(us.get(i)));
            }
            call.check(call.keepsArenas()
                    ? call.whileOpen(() -> Nf4jH.nf4j_lora_project(call.stream(), input, adapters, loras.size(), outputs))
                    : Nf4jH.nf4j_lora_project(call.stream(), input, adapters, loras.size(), outputs));
        }
    }

    /// The second half: `y` [m, out] = x * W^T + bias + scale * u * B^T.
    ///
    /// @param lora whose `a` and dropout are not read
    /// @param u    as [#project] left it
    public static void apply(Stream stream, Tensor x, LinearWeight base, LoraWeights lora, Tensor u, Tensor y) {
        try (Call call = Call.on(stream, "lora.apply")) {
            MemorySegment input = call.input(x);
            MemorySegment linear = Structs.linear(call, base);
            MemorySegment adapter = Structs.applied(call, lora);
            MemorySegment narrow = call.input(u);
            MemorySegment output = call.output(y);
            call.check(
                    call.keepsArenas() ? call.whileOpen(() -> Nf4jH.nf4j_lora_apply(call.stream(), input, linear, adapter, narrow, output))
                            : Nf4jH.nf4j_lora_apply(call.stream(), input, linear, adapter, narrow, output));
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
            MemorySegment input = call.input(x);
            MemorySegment gradient = call.input(dy);
            MemorySegment narrow = call.input(u);
            MemorySegment linear = Structs.linear(call, base);
            MemorySegment adapter = Structs.lora(call, lora);
            MemorySegment toA = call.output(da, true);
            MemorySegment toB = call.output(db, true);
            MemorySegment toX = call.output(dx, accumulateDx);
            call.check(call.keepsArenas()
                    ? call.whileOpen(() -> Nf4jH.nf4j_lora_backward(call.stream(), input, gradient, narrow, linear, adapter,
                            accumulateDx ? 1 : 0, toA, toB, toX))
                    : Nf4jH.nf4j_lora_backward(call.stream(), input, gradient, narrow, linear, adapter, accumulateDx ? 1 : 0, toA, toB,
                            toX));
        }
    }
}
