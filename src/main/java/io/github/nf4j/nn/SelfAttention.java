package io.github.nf4j.nn;

import io.github.nf4j.autograd.AttentionFunction;
import io.github.nf4j.autograd.RopeFunction;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.AttentionShape;
import java.util.List;

/// Causal self-attention with grouped query heads and rotary positions.
///
/// @param layer         number of the layer, its place in the key-value cache
/// @param queryKeyValue the projections of the input
record SelfAttention(int layer, AttentionShape shape, List<Linear> queryKeyValue, Linear output) {
    Variable forward(Pass pass, Variable x) {
        Tape tape = pass.tape();
        List<Variable> projected = Linear.forward(pass, x, queryKeyValue);
        Variable q = RopeFunction.apply(tape, projected.get(0), pass.ropeTable());
        Variable k = RopeFunction.apply(tape, projected.get(1), pass.ropeTable());
        Variable v = projected.get(2);
        Variable attended;
        if (pass.cache() == null) {
            attended = AttentionFunction.apply(tape, shape, pass.sequences(), q, k, v);
        } else {
            pass.cache().append(tape.stream(), layer, k.value(), v.value());
            k.release();
            v.release();
            attended = AttentionFunction.applyCached(tape, shape, pass.sequences(), q, pass.cache().keys(layer),
                    pass.cache().values(layer));
        }
        Variable y = output.forward(pass, attended);
        attended.release();
        return y;
    }
}
