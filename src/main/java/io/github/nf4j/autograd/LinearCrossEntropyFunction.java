package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LossOps;

/// The output head and the cross-entropy in one, where a computation ends.
public final class LinearCrossEntropyFunction {
    private LinearCrossEntropyFunction() {
    }

    /// The kernel computes the gradient in the same pass over the logits, so it is there before [Tape#backward] begins.
    ///
    /// @param hidden    [m, n]; consumed
    /// @param head      [vocabulary, n]
    /// @param labels    [1, m] I32, -100 where nothing is predicted
    /// @param gradScale what the sum of the losses is multiplied by, for the gradient alone
    /// @return losses [1, m] F32, 0 where nothing is predicted; the caller releases them
    public static PooledTensor apply(Tape tape, Variable hidden, LinearWeight head, Tensor labels, float gradScale) {
        PooledTensor losses = tape.pool().take(DType.F32, 1, hidden.form().rows());
        if (hidden.requiresGrad()) {
            PooledTensor dhidden = tape.takeLike(hidden.form());
            LossOps.linearCrossEntropy(tape.stream(), hidden.value(), head, labels, gradScale, losses.tensor(),
                    dhidden.tensor());
            tape.passGradient(hidden, dhidden);
        } else {
            LossOps.linearCrossEntropy(tape.stream(), hidden.value(), head, labels, gradScale, losses.tensor(), null);
        }
        hidden.release();
        return losses;
    }
}
