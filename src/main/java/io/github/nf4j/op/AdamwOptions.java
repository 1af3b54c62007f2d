package io.github.nf4j.op;

/// Settings of one AdamW step.
///
/// @param weightDecay decoupled decay
/// @param step        1 for the first
public record AdamwOptions(float learningRate, float beta1, float beta2, float eps, float weightDecay, long step) {
}
