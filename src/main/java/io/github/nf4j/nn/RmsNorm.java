package io.github.nf4j.nn;

import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.RmsNormFunction;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.Variable;

/// A frozen RMSNorm.
///
/// @param weight F32 [1, hidden size]
record RmsNorm(Tensor weight, float epsilon) {
    Variable forward(Tape tape, Variable x) {
        return RmsNormFunction.apply(tape, x, weight, epsilon);
    }
}
