package io.github.nf4j.autograd;

import io.github.nf4j.Tensor;

/// A tensor with a count of those who hold it. Whoever asked for it has one hold; the last release gives its memory back.
public final class PooledTensor {
    private final Tensor tensor;
    private final Runnable giveBack;
    private int holds = 1;

    PooledTensor(Tensor tensor, Runnable giveBack) {
        this.tensor = tensor;
        this.giveBack = giveBack;
    }

    /// @throws IllegalStateException if nobody holds it any more
    public Tensor tensor() {
        checkHeld();
        return tensor;
    }

    /// Adds a hold.
    PooledTensor hold() {
        checkHeld();
        holds++;
        return this;
    }

    /// Takes a hold away, and with the last one gives the memory back.
    public void release() {
        checkHeld();
        if (--holds == 0) {
            giveBack.run();
        }
    }

    /// Whether nobody else reads this tensor, so that its one holder may overwrite it.
    boolean heldOnce() {
        return holds == 1;
    }

    private void checkHeld() {
        if (holds == 0) {
            throw new IllegalStateException(tensor + " was released");
        }
    }
}
