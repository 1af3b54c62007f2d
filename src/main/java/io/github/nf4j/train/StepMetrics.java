package io.github.nf4j.train;

/// What one optimizer step did.
///
/// @param step        counted from 1
/// @param loss        mean cross-entropy over the step's trained tokens, before the update
/// @param lr          learning rate of the update
/// @param gradNorm    global L2 norm of the adapters' gradients before clipping
/// @param tokens      tokens that went through the model, masked ones included
/// @param stepSeconds wall-clock time of the step
public record StepMetrics(int step, double loss, double lr, double gradNorm, int tokens, double stepSeconds) {
    public double tokensPerSecond() {
        return tokens / stepSeconds;
    }
}
