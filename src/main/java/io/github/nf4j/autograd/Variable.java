package io.github.nf4j.autograd;

import io.github.nf4j.Tensor;

/// A value in a computation, and its gradient once [Tape#backward] has reached it. Made by a [Tape]; ends with it.
///
/// Who gets a variable holds its value and releases it when no further operation will read it. What a backward rule needs stays
/// alive beyond that. A function whose documentation says that it consumes an argument releases it on the caller's behalf.
///
/// A variable that was released may stand for another value in a later pass: not in the next one, so that whoever keeps variables from
/// pass to pass hears of it. One that was not released never does.
public final class Variable {
    private final Tape tape;
    private long pass;
    private PooledTensor value;
    private boolean requiresGrad;
    private boolean released;
    private PooledTensor gradient;

    Variable(Tape tape) {
        this.tape = tape;
    }

    /// Makes it stand for `newValue`, with the caller's hold on it.
    Variable begin(PooledTensor newValue, boolean needsGradient) {
        pass = tape.pass();
        value = newValue;
        requiresGrad = needsGradient;
        released = false;
        return this;
    }

    /// Ends it with its tape. Its memory goes back; whoever has not released it may still have the object.
    void end() {
        setGradient(null);
        if (!released) {
            value.release();
        }
    }

    /// @throws IllegalStateException if it was released and no rule needs it, or its tape is closed
    public Tensor value() {
        return pooled().tensor();
    }

    /// Whether anything that is trained had a part in this value, so that backward computes a gradient of it.
    public boolean requiresGrad() {
        checkCurrent();
        return requiresGrad;
    }

    /// The gradient of a leaf after [Tape#backward], or null where none arrived. Other variables' gradients are gone by then.
    ///
    /// @throws IllegalStateException if its tape is closed
    public Tensor gradient() {
        checkCurrent();
        return gradient == null ? null : gradient.tensor();
    }

    /// Gives up the caller's hold on the value.
    ///
    /// @throws IllegalStateException if that was done before, or its tape is closed
    public void release() {
        checkCurrent();
        if (released) {
            throw new IllegalStateException("the variable of " + value.form() + " was released before");
        }
        released = true;
        value.release();
    }

    boolean isReleased() {
        return released;
    }

    PooledTensor pooled() {
        checkCurrent();
        return value;
    }

    /// Shape and type, which outlive the value.
    Tensor form() {
        return pooled().form();
    }

    boolean hasGradient() {
        return gradient != null;
    }

    /// The gradient, or null where none has arrived.
    PooledTensor pooledGradient() {
        return gradient;
    }

    /// Makes `newGradient` the gradient, with the caller's hold on it, in place of the one there was; or null for none.
    void setGradient(PooledTensor newGradient) {
        if (gradient != null) {
            gradient.release();
        }
        gradient = newGradient;
    }

    private void checkCurrent() {
        if (pass != tape.pass()) {
            throw new IllegalStateException("the tape of this variable is closed");
        }
    }
}
