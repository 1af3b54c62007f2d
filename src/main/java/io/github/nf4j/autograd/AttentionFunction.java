package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.AttentionOps;
import io.github.nf4j.op.AttentionShape;
import io.github.nf4j.op.PackedSequences;

/// Causal attention over packed sequences.
public final class AttentionFunction {
    private AttentionFunction() {
    }

    /// Sequences that attend to themselves.
    ///
    /// @param q [m, heads * head size]; consumed, as `k` and `v`
    /// @param k [m, key-value heads * head size], as `v`
    /// @return as `q`
    public static Variable apply(Tape tape, AttentionShape shape, PackedSequences sequences, Variable q, Variable k,
                                 Variable v) {
        PooledTensor lse = tape.pool().take(DType.F32, q.form().rows(), shape.heads());
        PooledTensor out = tape.takeLike(q.form());
        AttentionOps.forward(tape.stream(), shape, sequences, q.value(), k.value(), v.value(), lse.tensor(), out.tensor());
        Variable output = q.requiresGrad() || k.requiresGrad() || v.requiresGrad()
                ? tape.recorded(out, Rule.of(tape, shape, sequences, q, k, v, lse, out))
                : tape.constant(out);
        lse.release();
        q.release();
        k.release();
        v.release();
        return output;
    }

    /// Sequences that attend to keys and values in a cache. Never recorded.
    ///
    /// @param q         [m, heads * head size]; consumed
    /// @param sequences made with the places of their keys in the cache
    /// @param k         [cached rows, key-value heads * head size], as `v`
    /// @return as `q`
    public static Variable applyCached(Tape tape, AttentionShape shape, PackedSequences sequences, Variable q, Tensor k,
                                       Tensor v) {
        PooledTensor lse = tape.pool().take(DType.F32, q.form().rows(), shape.heads());
        PooledTensor out = tape.takeLike(q.form());
        AttentionOps.forward(tape.stream(), shape, sequences, q.value(), k, v, lse.tensor(), out.tensor());
        lse.release();
        q.release();
        return tape.constant(out);
    }

    private static final class Rule extends BackwardRule {
        private AttentionShape shape;
        private PackedSequences sequences;
        private Variable q;
        private Variable k;
        private Variable v;
        private PooledTensor lse;
        private PooledTensor out;

        static Rule of(Tape tape, AttentionShape shape, PackedSequences sequences, Variable q, Variable k, Variable v,
                       PooledTensor lse, PooledTensor out) {
            Rule rule = tape.rule(Rule.class, Rule::new);
            rule.shape = shape;
            rule.sequences = sequences;
            rule.q = rule.save(q);
            rule.k = rule.save(k);
            rule.v = rule.save(v);
            rule.lse = rule.save(lse);
            rule.out = rule.save(out);
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dout) {
            PooledTensor dq = tape.takeLike(q.form());
            PooledTensor dk = tape.takeLike(k.form());
            PooledTensor dv = tape.takeLike(v.form());
            AttentionOps.backward(tape.stream(), shape, sequences, q.value(), k.value(), v.value(), lse.tensor(), out.tensor(),
                    dout.tensor(), dq.tensor(), dk.tensor(), dv.tensor());
            tape.passGradient(q, dq);
            tape.passGradient(k, dk);
            tape.passGradient(v, dv);
        }
    }
}
