package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.Nf4Ops;

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
            case LinearWeight.Dense dense -> tape.addGradient(x, (dx, accumulate) -> DenseOps.matmul(tape.stream(), false,
                    false, 1, accumulate ? 1 : 0, dy, dense.weight(), null, dx));
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
        PooledTensor u = tape.pool().take(DType.F32, x.form().rows(), a.value().rows());
        PooledTensor y = output(tape, x, base);
        LoraOps.forward(tape.stream(), x.value(), base, lora, u.tensor(), y.tensor());
        Variable output = tape.isRecording()
                ? tape.recorded(y, dy -> backward(tape, x, base, lora, a, b, u.tensor(), dy.tensor()), x.pooled(), u)
                : tape.constant(y);
        u.release();
        return output;
    }

    private static void backward(Tape tape, Variable x, LinearWeight base, LoraWeights lora, Parameter a, Parameter b,
                                 Tensor u, Tensor dy) {
        if (x.requiresGrad()) {
            tape.addGradient(x, (dx, accumulate) -> LoraOps.backward(tape.stream(), x.value(), dy, u, base, lora, accumulate,
                    a.grad(), b.grad(), dx));
        } else {
            LoraOps.backward(tape.stream(), x.value(), dy, u, base, lora, false, a.grad(), b.grad(), null);
        }
    }

    private static PooledTensor output(Tape tape, Variable x, LinearWeight base) {
        return tape.pool().take(x.form().dtype(), x.form().rows(), base.rows());
    }
}
