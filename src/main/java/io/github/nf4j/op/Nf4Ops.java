package io.github.nf4j.op;

import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_nf4_state;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;

/// Family `nf4`: quantization to and products with 4-bit weights.
public final class Nf4Ops {
    private Nf4Ops() {
    }

    /// Fills `weight` with `w` [rows, cols] (F32, F16 or BF16, contiguous), quantized as bitsandbytes does it.
    ///
    /// @throws IllegalArgumentException if `w` holds NaN or infinity
    public static void quantize(Stream stream, Tensor w, Nf4Weight weight) {
        try (Call call = Call.on(stream, "nf4.quantize")) {
            MemorySegment input = call.input(w);
            MemorySegment packed = call.weight(weight);
            call.check(Nf4jH.nf4j_nf4_quantize(call.stream(), input, packed));
        }
    }

    /// `out` [count, cols] (F32, F16 or BF16) = the rows `firstRow` ... of `weight`, each element rounded once.
    public static void dequantize(Stream stream, Nf4Weight weight, long firstRow, Tensor out) {
        try (Call call = Call.on(stream, "nf4.dequantize")) {
            MemorySegment packed = call.weight(weight);
            MemorySegment output = call.output(out);
            call.check(Nf4jH.nf4j_nf4_dequantize(call.stream(), packed, firstRow, output));
        }
    }

    /// Fills `weight` from the parts of a bitsandbytes checkpoint, without loss. Any quantization map is taken.
    public static void importState(Stream stream, Nf4State state, Nf4Weight weight) {
        try (Call call = Call.on(stream, "nf4.import")) {
            MemorySegment struct = struct(call, state);
            MemorySegment packed = call.weight(weight);
            call.check(call.keepsArenas() ? call.whileOpen(() -> Nf4jH.nf4j_nf4_import(call.stream(), struct, packed))
                    : Nf4jH.nf4j_nf4_import(call.stream(), struct, packed));
        }
    }

    /// The parts of a bitsandbytes checkpoint that make up `weight`, without loss, in host memory from `allocator`.
    public static Nf4State exportState(Stream stream, Nf4Weight weight, SegmentAllocator allocator) {
        Nf4State state = Nf4State.allocate(allocator, weight.rows(), weight.cols(), weight.blockSize(),
                weight.doubleQuant());
        try (Call call = Call.on(stream, "nf4.export")) {
            MemorySegment struct = struct(call, state);
            MemorySegment packed = call.weight(weight);
            call.check(call.keepsArenas() ? call.whileOpen(() -> Nf4jH.nf4j_nf4_export(call.stream(), packed, struct))
                    : Nf4jH.nf4j_nf4_export(call.stream(), packed, struct));
            return state.withNestedOffset(nf4j_nf4_state.nested_offset(struct));
        }
    }

    /// `y` [m, out] = `x` [m, in] * W^T + bias. W is rounded to the type of `x` first.
    ///
    /// @param x    F32 or BF16
    /// @param bias [1, out], F32 or of the type of `x`, or null
    public static void matmul(Stream stream, Tensor x, Nf4Weight weight, Tensor bias, Tensor y) {
        try (Call call = Call.on(stream, "nf4.matmul")) {
            MemorySegment input = call.input(x);
            MemorySegment packed = call.weight(weight);
            MemorySegment summand = call.input(bias);
            MemorySegment output = call.output(y);
            call.check(Nf4jH.nf4j_nf4_matmul(call.stream(), input, packed, summand, output));
        }
    }

    /// `dx` [m, in] = `dy` [m, out] * W.
    public static void matmulBackward(Stream stream, Tensor dy, Nf4Weight weight, Tensor dx) {
        try (Call call = Call.on(stream, "nf4.matmul_backward")) {
            MemorySegment gradient = call.input(dy);
            MemorySegment packed = call.weight(weight);
            MemorySegment toX = call.output(dx);
            call.check(Nf4jH.nf4j_nf4_matmul_backward(call.stream(), gradient, packed, toX));
        }
    }

    private static MemorySegment struct(Call call, Nf4State state) {
        MemorySegment struct = call.options(nf4j_nf4_state.sizeof());
        nf4j_nf4_state.nested_offset(struct, state.nestedOffset());
        nf4j_nf4_state.rows(struct, state.rows());
        nf4j_nf4_state.cols(struct, state.cols());
        nf4j_nf4_state.block_size(struct, state.blockSize());
        nf4j_nf4_state.codes(struct, call.host(state.codes()));
        nf4j_nf4_state.absmax(struct, call.host(state.absmax()));
        nf4j_nf4_state.absmax8(struct, call.host(state.absmax8()));
        nf4j_nf4_state.quant_map(struct, call.host(state.quantMap()));
        nf4j_nf4_state.nested_absmax(struct, call.host(state.nestedAbsmax()));
        nf4j_nf4_state.nested_map(struct, call.host(state.nestedMap()));
        return struct;
    }
}
