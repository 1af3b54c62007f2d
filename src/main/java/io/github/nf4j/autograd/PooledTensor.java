package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;

/// A tensor with a count of those who hold it. Whoever asked for it has one hold; the last release gives its memory back.
///
/// It ends with the [TensorPool#reset] of its pool, which may hand out a released one again afterwards, in a step that repeats the last.
public final class PooledTensor {
    private final Tensor tensor;
    private final TensorPool.Slab slab; // null where the memory is no pool's
    private final long offset;
    private final long bytes;
    private long generation;
    private int holds;

    /// A tensor of a pool, held by nobody.
    ///
    /// @param tensor what lies in `bytes` bytes of `slab` from `offset` on
    PooledTensor(Tensor tensor, TensorPool.Slab slab, long offset, long bytes) {
        this.tensor = tensor;
        this.slab = slab;
        this.offset = offset;
        this.bytes = bytes;
    }

    /// A tensor in memory that is not given back, held by its owner, so that nothing works in place on it.
    static PooledTensor borrowed(Tensor tensor) {
        PooledTensor borrowed = new PooledTensor(tensor, null, 0, 0);
        borrowed.holds = 1;
        return borrowed;
    }

    /// @throws IllegalStateException if nobody holds it any more
    public Tensor tensor() {
        checkHeld();
        return tensor;
    }

    /// The tensor for its shape and type, which outlive its contents.
    Tensor form() {
        return tensor;
    }

    /// Adds a hold.
    ///
    /// @throws IllegalStateException if nobody holds it any more
    PooledTensor hold() {
        checkHeld();
        holds++;
        return this;
    }

    /// Takes a hold away, and with the last one gives the memory back.
    ///
    /// @throws IllegalStateException if nobody holds it any more
    public void release() {
        checkHeld();
        if (--holds == 0 && slab != null) {
            slab.giveBack(offset, bytes, generation);
        }
    }

    /// Whether nobody else reads this tensor, so that its one holder may overwrite it.
    boolean heldOnce() {
        return holds == 1;
    }

    /// Whether this object can stand for a tensor that is taken now: it is held by nobody, and stood for the same one.
    boolean fits(TensorPool.Slab newSlab, long newOffset, DType dtype, long rows, long cols) {
        return holds == 0 && slab == newSlab && offset == newOffset && tensor.dtype() == dtype && tensor.rows() == rows
                && tensor.cols() == cols;
    }

    /// Whether this object is [#borrowed] for `lent`, and held by its owner alone.
    boolean borrows(Tensor lent) {
        return holds == 1 && slab == null && tensor == lent;
    }

    /// Gives it its first holder.
    ///
    /// @param newGeneration of the pool
    PooledTensor handOut(long newGeneration) {
        generation = newGeneration;
        holds = 1;
        return this;
    }

    private void checkHeld() {
        if (holds == 0) {
            throw new IllegalStateException(tensor + " was released");
        }
    }
}
