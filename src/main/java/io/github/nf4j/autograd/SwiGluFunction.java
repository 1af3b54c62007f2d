package io.github.nf4j.autograd;

import io.github.nf4j.op.MlpOps;

/// `h = silu(gate) · up`.
public final class SwiGluFunction {
    private SwiGluFunction() {
    }

    /// @param gate [m, n]; consumed
    /// @param up   [m, n]; consumed, and not the same variable as `gate`
    /// @return as `gate`
    public static Variable apply(Tape tape, Variable gate, Variable up) {
        boolean records = gate.requiresGrad() || up.requiresGrad();
        PooledTensor h = records ? tape.takeLike(gate.form()) : tape.inPlaceOf(gate.pooled());
        MlpOps.swigluForward(tape.stream(), gate.value(), up.value(), h.tensor());
        Variable output = records ? tape.recorded(h, Rule.of(tape, gate, up)) : tape.constant(h);
        gate.release();
        up.release();
        return output;
    }

    private static final class Rule extends BackwardRule {
        private Variable gate;
        private Variable up;

        static Rule of(Tape tape, Variable gate, Variable up) {
            Rule rule = tape.rule(Rule.class, Rule::new);
            rule.gate = rule.save(gate);
            rule.up = rule.save(up);
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dh) {
            PooledTensor dgate = tape.inPlaceOf(gate.pooled());
            PooledTensor dup = tape.inPlaceOf(up.pooled());
            MlpOps.swigluBackward(tape.stream(), dh.tensor(), gate.value(), up.value(), dgate.tensor(), dup.tensor());
            tape.passGradient(gate, dgate);
            tape.passGradient(up, dup);
        }
    }
}
