package io.github.nf4j.op;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.nf4j_adamw_step;

/// Settings of one AdamW step.
///
/// @param weightDecay decoupled decay
/// @param step        1 for the first
/// @param deviceStep  U8 [1, [#STEP_BYTES]], as [OptimOps#adamwStep] has written it: it counts instead of rate, decay and step, and a
///                    [io.github.nf4j.Graph] reads it with each launch; or null
public record AdamwOptions(float learningRate, float beta1, float beta2, float eps, float weightDecay, long step, Tensor deviceStep) {
    /// What a step in device memory takes.
    public static final int STEP_BYTES = (int) nf4j_adamw_step.sizeof();

    public AdamwOptions {
        if (deviceStep != null) {
            checkStep(deviceStep);
        }
    }

    /// Settings that are all given here.
    public AdamwOptions(float learningRate, float beta1, float beta2, float eps, float weightDecay, long step) {
        this(learningRate, beta1, beta2, eps, weightDecay, step, null);
    }

    static void checkStep(Tensor step) {
        if (step.dtype() != DType.U8 || step.rows() != 1 || step.cols() != STEP_BYTES) {
            throw new IllegalArgumentException("the step in device memory is a " + step + "; it must be U8 [1, " + STEP_BYTES + "]");
        }
    }
}
