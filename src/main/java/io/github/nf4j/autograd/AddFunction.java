package io.github.nf4j.autograd;

import io.github.nf4j.op.MemoryOps;

/// `y = a + b`: the residual connection. Its gradient goes on to both without a copy.
public final class AddFunction {
    private AddFunction() {
    }

    /// @param a [m, n]; consumed
    /// @param b [m, n]; consumed, and not the same variable as `a`
    /// @return as `a`
    public static Variable apply(Tape tape, Variable a, Variable b) {
        PooledTensor y = tape.inPlaceOf(b.pooled().heldOnce() ? b.pooled() : a.pooled());
        MemoryOps.add(tape.stream(), a.value(), b.value(), y.tensor());
        a.release();
        b.release();
        return a.requiresGrad() || b.requiresGrad() ? tape.recorded(y, Rule.of(tape, a, b)) : tape.constant(y);
    }

    private static final class Rule extends BackwardRule {
        private Variable a;
        private Variable b;

        static Rule of(Tape tape, Variable a, Variable b) {
            Rule rule = tape.rule(Rule.class, Rule::new);
            rule.a = a;
            rule.b = b;
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dy) {
            tape.passGradient(a, dy.hold());
            tape.passGradient(b, dy.hold());
        }
    }
}
