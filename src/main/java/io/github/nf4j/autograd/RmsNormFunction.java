package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.NormOps;

/// `y = x / sqrt(mean(x²) + eps) · weight` with a frozen weight.
public final class RmsNormFunction {
    private RmsNormFunction() {
    }

    /// @param x      [m, n]
    /// @param weight [1, n]
    /// @return as `x`
    public static Variable apply(Tape tape, Variable x, Tensor weight, float eps) {
        PooledTensor rstd = tape.pool().take(DType.F32, 1, x.form().rows());
        PooledTensor y = tape.takeLike(x.form());
        NormOps.forward(tape.stream(), x.value(), weight, eps, rstd.tensor(), y.tensor());
        Variable output = x.requiresGrad() ? tape.recorded(y, Rule.of(tape, x, weight, rstd)) : tape.constant(y);
        rstd.release();
        return output;
    }

    private static final class Rule extends BackwardRule {
        private Variable x;
        private Tensor weight;
        private PooledTensor rstd;

        static Rule of(Tape tape, Variable x, Tensor weight, PooledTensor rstd) {
            Rule rule = tape.rule(Rule.class, Rule::new);
            rule.x = rule.save(x);
            rule.weight = weight;
            rule.rstd = rule.save(rstd);
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dy) {
            boolean accumulate = x.hasGradient();
            NormOps.backward(tape.stream(), dy.tensor(), x.value(), weight, rstd.tensor(), accumulate, null, tape.gradientOf(x));
        }
    }
}
