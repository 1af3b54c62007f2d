package io.github.nf4j.autograd;

import io.github.nf4j.Tensor;

/// A value in a computation, and its gradient once [Tape#backward] has reached it. Made by a [Tape]; ends with it.
///
/// Who gets a variable holds its value and releases it when no further operation will read it. What a backward rule needs stays
/// alive beyond that. A function whose documentation says that it consumes an argument releases it on the caller's behalf.
public final class Variable {
    private final PooledTensor value;
    private final boolean requiresGrad;
    private PooledTensor gradient;

    Variable(PooledTensor value, boolean requiresGrad) {
        this.value = value;
        this.requiresGrad = requiresGrad;
    }

    /// @throws IllegalStateException if it was released and no rule needs it
    public Tensor value() {
        return value.tensor();
    }

    /// Whether anything that is trained had a part in this value, so that backward computes a gradient of it.
    public boolean requiresGrad() {
        return requiresGrad;
    }

    /// The gradient of a leaf after [Tape#backward], or null where none arrived. Other variables' gradients are gone by then.
    public Tensor gradient() {
        return gradient == null ? null : gradient.tensor();
    }

    /// Gives up the caller's hold on the value.
    ///
    /// @throws IllegalStateException if nobody holds it any more
    public void release() {
        value.release();
    }

    PooledTensor pooled() {
        return value;
    }

    /// Shape and type, which outlive the value.
    Tensor form() {
        return value.form();
    }

    boolean hasGradient() {
        return gradient != null;
    }

    /// The gradient, or null where none has arrived.
    PooledTensor pooledGradient() {
        return gradient;
    }

    /// Makes `gradient` the gradient, with the caller's hold on it, or with null takes it away.
    void setGradient(PooledTensor gradient) {
        this.gradient = gradient;
    }
}
