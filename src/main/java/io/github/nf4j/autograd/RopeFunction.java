package io.github.nf4j.autograd;

import io.github.nf4j.Tensor;
import io.github.nf4j.op.RopeOps;

/// Rotary position embedding.
public final class RopeFunction {
    private RopeFunction() {
    }

    /// @param x     [m, heads * head size]; consumed
    /// @param table [m, head size] of [RopeOps#table]; stays until the tape is closed
    /// @return as `x`
    public static Variable apply(Tape tape, Variable x, Tensor table) {
        PooledTensor y = tape.inPlaceOf(x.pooled());
        RopeOps.forward(tape.stream(), x.value(), table, y.tensor());
        x.release();
        return x.requiresGrad() ? tape.recorded(y, Rule.of(tape, x, table)) : tape.constant(y);
    }

    private static final class Rule extends BackwardRule {
        private Variable x;
        private Tensor table;

        static Rule of(Tape tape, Variable x, Tensor table) {
            Rule rule = tape.rule(Rule.class, Rule::new);
            rule.x = x;
            rule.table = table;
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dy) {
            PooledTensor dx = tape.inPlaceOf(dy);
            RopeOps.backward(tape.stream(), dy.tensor(), table, dx.tensor());
            tape.passGradient(x, dx);
        }
    }
}
