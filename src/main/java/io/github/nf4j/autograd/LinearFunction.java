package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.Nf4Ops;
import java.util.ArrayList;
import java.util.Iterator;
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
        return x.requiresGrad() ? tape.recorded(y, dy -> backward(tape, x, base, dy.tensor())) : tape.constant(y);
    }

    private static void backward(Tape tape, Variable x, LinearWeight base, Tensor dy) {
        switch (base) {
            case LinearWeight.Dense dense -> {
                int beta = x.hasGradient() ? 1 : 0;
                DenseOps.matmul(tape.stream(), false, false, 1, beta, dy, dense.weight(), null, tape.gradientOf(x));
            }
            case LinearWeight.Nf4 nf4 -> {
                PooledTensor dx = tape.takeLike(x.form());
                Nf4Ops.matmulBackward(tape.stream(), dy, nf4.weight(), dx.tensor());
                tape.passGradient(x, dx);
            }
        }
    }

    /// The layer with an adapter.
    ///
    /// @param x    [m, in]
    /// @param lora the adapter as it is now, with the dropout of this pass; its factors are the values of `a` and `b`
    /// @param a    [rank, in], trained
    /// @param b    [out, rank], trained
    /// @return [m, out] of the type of `x`
    public static Variable apply(Tape tape, Variable x, LinearWeight base, LoraWeights lora, Parameter a, Parameter b) {
        PooledTensor u = narrow(tape, x, a);
        PooledTensor y = output(tape, x, base);
        LoraOps.forward(tape.stream(), x.value(), base, lora, u.tensor(), y.tensor());
        return adapted(tape, x, base, lora, a, b, u, y);
    }

    /// A layer of several that share their input.
    ///
    /// @param lora the adapter as it is now, as for [#apply(Tape, Variable, LinearWeight, LoraWeights, Parameter, Parameter)]; null, as
    ///             `a` and `b`, where there is none
    public record Layer(LinearWeight base, LoraWeights lora, Parameter a, Parameter b) {
    }

    /// Layers that share their input, to the bits of one call for each: what their adapters take from `x` is one pass over it.
    ///
    /// @param x [m, in]
    /// @return for each layer [m, out] of the type of `x`
    public static List<Variable> apply(Tape tape, Variable x, List<Layer> layers) {
        List<LoraWeights> loras = new ArrayList<>();
        List<PooledTensor> us = new ArrayList<>();
        for (Layer layer : layers) {
            if (layer.lora != null) {
                loras.add(layer.lora);
                us.add(narrow(tape, x, layer.a));
            }
        }
        if (!loras.isEmpty()) {
            LoraOps.project(tape.stream(), x.value(), loras, us.stream().map(PooledTensor::tensor).toList());
        }
        List<Variable> outputs = new ArrayList<>();
        Iterator<PooledTensor> nextU = us.iterator();
        for (Layer layer : layers) {
            outputs.add(layer.lora == null ? apply(tape, x, layer.base) : apply(tape, x, layer, nextU.next()));
        }
        return outputs;
    }

    /// Consumes `u`, which is [LoraOps#project]'s.
    private static Variable apply(Tape tape, Variable x, Layer layer, PooledTensor u) {
        PooledTensor y = output(tape, x, layer.base);
        LoraOps.apply(tape.stream(), x.value(), layer.base, layer.lora, u.tensor(), y.tensor());
        return adapted(tape, x, layer.base, layer.lora, layer.a, layer.b, u, y);
    }

    /// The variable of an adapted layer's output `y`. Consumes `u`.
    private static Variable adapted(Tape tape, Variable x, LinearWeight base, LoraWeights lora, Parameter a, Parameter b,
                                    PooledTensor u, PooledTensor y) {
        Variable output = tape.isRecording()
                ? tape.recorded(y, dy -> backward(tape, x, base, lora, a, b, u.tensor(), dy.tensor()), x.pooled(), u)
                : tape.constant(y);
        u.release();
        return output;
    }

    private static void backward(Tape tape, Variable x, LinearWeight base, LoraWeights lora, Parameter a, Parameter b,
                                 Tensor u, Tensor dy) {
        boolean accumulate = x.hasGradient();
        Tensor dx = x.requiresGrad() ? tape.gradientOf(x) : null;
        LoraOps.backward(tape.stream(), x.value(), dy, u, base, lora, accumulate, a.grad(), b.grad(), dx);
    }

    private static PooledTensor narrow(Tape tape, Variable x, Parameter a) {
        return tape.pool().take(DType.F32, x.form().rows(), a.value().rows());
    }

    private static PooledTensor output(Tape tape, Variable x, LinearWeight base) {
        return tape.pool().take(x.form().dtype(), x.form().rows(), base.rows());
    }
}
