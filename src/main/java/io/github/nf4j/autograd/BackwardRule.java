package io.github.nf4j.autograd;

/// The hand-written derivative of one operation: adds the gradients of the operation's inputs, given its output's.
@FunctionalInterface
interface BackwardRule {
    /// @param dy gradient of the output; the tape releases it afterwards
    void apply(PooledTensor dy);
}
