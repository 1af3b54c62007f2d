package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.Nf4Ops;
import java.util.ArrayList;
import java.util.List;

/// `y = x · Wᵀ + bias` with a frozen weight, and with a trained adapter on it: `y += s · drop(x) · Aᵀ · Bᵀ`.
public final class LinearFunction {
    private LinearFunction() {
    }

    /// The layer without an adapter.
    ///
    /// @param x [m, in]
    /// @return [m, out] of the type of `x`
    public static Variable apply(Tape tape, Variable x, LinearWeight base) {
        PooledTensor y = output(tape, x, base);
        switch (base) {
            case LinearWeight.Dense dense -> DenseOps.matmul(tape.stream(), false, true, 1, 0, x.value(), dense.weight(),
                    dense.bias(), y.tensor());
            case LinearWeight.Nf4 nf4 -> Nf4Ops.matmul(tape.stream(), x.value(), nf4.weight(), nf4.bias(), y.tensor());
        }
        return x.requiresGrad() ? tape.recorded(y, FrozenRule.of(tape, x, base)) : tape.constant(y);
    }

    private static final class FrozenRule extends BackwardRule {
        private Variable x;
        private LinearWeight base;

        static FrozenRule of(Tape tape, Variable x, LinearWeight base) {
            FrozenRule rule = tape.rule(FrozenRule.class, FrozenRule::new);
            rule.x = x;
            rule.base = base;
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dy) {
            switch (base) {
                case LinearWeight.Dense dense -> {
                    int beta = x.hasGradient() ? 1 : 0;
                    DenseOps.matmul(tape.stream(), false, false, 1, beta, dy.tensor(), dense.weight(), null, tape.gradientOf(x));
                }
                case LinearWeight.Nf4 nf4 -> {
                    PooledTensor dx = tape.takeLike(x.form());
                    Nf4Ops.matmulBackward(tape.stream(), dy.tensor(), nf4.weight(), dx.tensor());
                    tape.passGradient(x, dx);
                }
            }
        }
    }

    /// A layer, perhaps with an adapter.
    ///
    /// @param lora the adapter as it is now, with the dropout of this pass; its factors are the values of `a` and `b`. Null, as
    ///             `a` and `b`, where there is none
    /// @param a    [rank, in], trained
    /// @param b    [out, rank], trained
    public record Layer(LinearWeight base, LoraWeights lora, Parameter a, Parameter b) {
        public Layer(LinearWeight base) {
            this(base, null, null, null);
        }
    }

    /// @param x [m, in]
    /// @return [m, out] of the type of `x`
    public static Variable apply(Tape tape, Variable x, Layer layer) {
        if (layer.lora == null) {
            return apply(tape, x, layer.base);
        }
        PooledTensor u = narrow(tape, x, layer);
        PooledTensor y = output(tape, x, layer.base);
        LoraOps.forward(tape.stream(), x.value(), layer.base, layer.lora, u.tensor(), y.tensor());
        return adapted(tape, x, layer, u, y);
    }

    /// What [LoraOps#project] is given, in lists that a tape keeps: calls make none.
    static final class Projected {
        private final List<LoraWeights> loras = new ArrayList<>();
        private final List<PooledTensor> us = new ArrayList<>();
        private final List<Tensor> tensors = new ArrayList<>();

        private void add(LoraWeights lora, PooledTensor u) {
            loras.add(lora);
            us.add(u);
            tensors.add(u.tensor());
        }

        private void clear() {
            loras.clear();
            us.clear();
            tensors.clear();
        }
    }

    /// Layers that share their input, to the bits of one call for each: what their adapters take from `x` is one pass over it.
    ///
    /// @param x       [m, in]
    /// @param outputs gets for each layer [m, out] of the type of `x`, in place of what it had
    public static void apply(Tape tape, Variable x, List<Layer> layers, List<Variable> outputs) {
        Projected projected = tape.projected();
        projected.clear();
        for (int i = 0; i < layers.size(); i++) { // an iterator would be an object
            if (layers.get(i).lora != null) {
                projected.add(layers.get(i).lora, narrow(tape, x, layers.get(i)));
            }
        }
        if (!projected.loras.isEmpty()) {
            LoraOps.project(tape.stream(), x.value(), projected.loras, projected.tensors);
        }
        outputs.clear();
        int adapted = 0;
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            outputs.add(layer.lora == null ? apply(tape, x, layer.base) : apply(tape, x, layer, projected.us.get(adapted++)));
        }
    }

    /// Consumes `u`, which is [LoraOps#project]'s.
    private static Variable apply(Tape tape, Variable x, Layer layer, PooledTensor u) {
        PooledTensor y = output(tape, x, layer.base);
        LoraOps.apply(tape.stream(), x.value(), layer.base, layer.lora, u.tensor(), y.tensor());
        return adapted(tape, x, layer, u, y);
    }

    /// The variable of an adapted layer's output `y`. Consumes `u`.
    private static Variable adapted(Tape tape, Variable x, Layer layer, PooledTensor u, PooledTensor y) {
        Variable output = tape.isRecording() ? tape.recorded(y, AdaptedRule.of(tape, x, layer, u)) : tape.constant(y);
        u.release();
        return output;
    }

    private static final class AdaptedRule extends BackwardRule {
        private Variable x;
        private Layer layer;
        private PooledTensor u;

        static AdaptedRule of(Tape tape, Variable x, Layer layer, PooledTensor u) {
            AdaptedRule rule = tape.rule(AdaptedRule.class, AdaptedRule::new);
            rule.x = rule.save(x);
            rule.layer = layer;
            rule.u = rule.save(u);
            return rule;
        }

        @Override
        void apply(Tape tape, PooledTensor dy) {
            boolean accumulate = x.hasGradient();
            Tensor dx = x.requiresGrad() ? tape.gradientOf(x) : null;
            LoraOps.backward(tape.stream(), x.value(), dy.tensor(), u.tensor(), layer.base, layer.lora, accumulate, layer.a.grad(),
                    layer.b.grad(), dx);
        }
    }

    private static PooledTensor narrow(Tape tape, Variable x, Layer layer) {
        return tape.pool().take(DType.F32, x.form().rows(), layer.a.value().rows());
    }

    private static PooledTensor output(Tape tape, Variable x, LinearWeight base) {
        return tape.pool().take(x.form().dtype(), x.form().rows(), base.rows());
    }
}
