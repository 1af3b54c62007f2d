package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_attention_options;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `attention`: causal softmax attention over packed sequences, with memory linear in their length.
public final class AttentionOps {
    private AttentionOps() {
    }

    /// @param q   [m, heads * headDim] F32 or BF16
    /// @param k   [mk, kvHeads * headDim], as `v`
    /// @param lse [m, heads] F32: log-sum-exp of the scores, kept for [#backward]
    /// @param out as `q`
    public static void forward(Stream stream, AttentionShape shape, PackedSequences sequences, Tensor q, Tensor k,
                               Tensor v, Tensor lse, Tensor out) {
        try (Call call = Call.on(stream, "attention.forward")) {
            MemorySegment options = options(call, shape, sequences);
            MemorySegment queries = call.input(q);
            MemorySegment keys = call.input(k);
            MemorySegment values = call.input(v);
            MemorySegment sums = call.output(lse);
            MemorySegment output = call.output(out);
            call.check(Nf4jH.nf4j_attention_forward(call.stream(), options, queries, keys, values, sums, output));
        }
    }

    /// Overwrites `dq`, `dk` and `dv`. Only for sequences made by [PackedSequences#ofLengths].
    ///
    /// @param lse  as [#forward] left it, as `out`
    /// @param dout the gradient of `out`
    public static void backward(Stream stream, AttentionShape shape, PackedSequences sequences, Tensor q, Tensor k,
                                Tensor v, Tensor lse, Tensor out, Tensor dout, Tensor dq, Tensor dk, Tensor dv) {
        try (Call call = Call.on(stream, "attention.backward")) {
            MemorySegment options = options(call, shape, sequences);
            MemorySegment queries = call.input(q);
            MemorySegment keys = call.input(k);
            MemorySegment values = call.input(v);
            MemorySegment sums = call.input(lse);
            MemorySegment output = call.input(out);
            MemorySegment gradient = call.input(dout);
            MemorySegment toQueries = call.output(dq);
            MemorySegment toKeys = call.output(dk);
            MemorySegment toValues = call.output(dv);
            call.check(Nf4jH.nf4j_attention_backward(call.stream(), options, queries, keys, values, sums, output, gradient, toQueries,
                    toKeys, toValues));
        }
    }

    private static MemorySegment options(Call call, AttentionShape shape, PackedSequences sequences) {
        MemorySegment options = call.options(nf4j_attention_options.sizeof());
        nf4j_attention_options.heads(options, shape.heads());
        nf4j_attention_options.kv_heads(options, shape.kvHeads());
        nf4j_attention_options.head_dim(options, shape.headDim());
        nf4j_attention_options.scale(options, shape.scale());
        nf4j_attention_options.window(options, shape.window());
        nf4j_attention_options.sequences(options, sequences.count());
        nf4j_attention_options.q_offsets(options, sequences.queryOffsets());
        nf4j_attention_options.kv_offsets(options, sequences.kvOffsets());
        nf4j_attention_options.kv_lengths(options, sequences.kvLengths());
        call.keep(sequences);
        call.keep(shape);
        return options;
    }
}
