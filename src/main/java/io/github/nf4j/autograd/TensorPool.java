package io.github.nf4j.autograd;

import io.github.nf4j.DType;
import io.github.nf4j.Memory;
import io.github.nf4j.Nf4jException;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.util.ArrayList;
import java.util.List;

/// Device memory for the activations and gradients of a step, reused from step to step: a few large slabs that grow while the
/// first steps run, and no allocation afterwards. Nor are there new objects where a step takes what the last one took and released.
///
/// A tensor that has gone back may be handed out again while operations that were queued before still use it, so one pool serves
/// one stream, and one thread at a time.
public final class TensorPool implements AutoCloseable {
    /// Enough for the vector units of every backend and for whole memory transactions of GPUs.
    private static final long ALIGNMENT = 256;
    private static final long SMALLEST_SLAB = 1 << 20;
    /// A new slab is at least the pool's size divided by this: few slabs, and little in them that is never used.
    private static final long GROWTH_DIVISOR = 8;
    /// Objects of one step that the next may use again; a longer step makes new ones for the rest.
    private static final int REMEMBERED = 1 << 14;

    private final Stream stream;
    private final List<Slab> slabs = new ArrayList<>();
    /// What was taken since the last reset, in that order; from `taken` on, by the step before.
    private final List<PooledTensor> step = new ArrayList<>();
    private int taken;
    /// What [#reset] takes back from nobody but the pool.
    private final List<PooledTensor> lasting = new ArrayList<>();
    private Tape tape = new Tape(this);
    private Tape lastTape = new Tape(this);
    private long generation;
    private long liveBytes;
    private long peakBytes;

    /// One allocation, and what is free in it.
    final class Slab {
        private final Memory memory;
        private final FreeRanges free;

        private Slab(Memory memory) {
            this.memory = memory;
            this.free = new FreeRanges(memory.bytes());
        }

        /// @param takenIn the generation in which the range was taken: what a reset has taken back is not given back a second time
        void giveBack(long offset, long bytes, long takenIn) {
            if (takenIn == generation) {
                free.giveBack(offset, bytes);
                liveBytes -= bytes;
            }
        }
    }

    public TensorPool(Stream stream) {
        this.stream = stream;
    }

    public Stream stream() {
        return stream;
    }

    /// A tensor with undefined contents, held once; it goes back to the pool when its last hold is released.
    ///
    /// @throws io.github.nf4j.OutOfDeviceMemoryException if the pool has to grow and cannot
    public PooledTensor take(DType dtype, long rows, long cols) {
        long elements = Math.multiplyExact(rows, cols);
        long bytes = Math.max(ALIGNMENT, roundUp(Math.multiplyExact(elements, (long) dtype.bytes())));
        Slab best = null;
        long bestFit = Long.MAX_VALUE;
        for (int i = 0; i < slabs.size(); i++) { // an iterator would be an object
            long fit = slabs.get(i).free.bestFit(bytes);
            if (fit < bestFit) {
                best = slabs.get(i);
                bestFit = fit;
            }
        }
        if (best == null) {
            best = grow(bytes);
            bestFit = best.memory.bytes();
        }
        long offset = best.free.take(bytes, bestFit);
        liveBytes += bytes;
        peakBytes = Math.max(peakBytes, liveBytes);
        return objectFor(best, offset, bytes, dtype, rows, cols).handOut(generation);
    }

    /// As [#take], for what lasts until the reset: the pool itself holds it.
    public Tensor takeLasting(DType dtype, long rows, long cols) {
        PooledTensor tensor = take(dtype, rows, cols);
        lasting.add(tensor);
        return tensor.tensor();
    }

    /// The caller's memory as a tensor beside those of the pool, held by its owner and by whoever asks for it.
    PooledTensor borrow(Tensor tensor) {
        boolean known = taken < step.size() && step.get(taken).borrows(tensor);
        return (known ? step.get(taken++) : remember(PooledTensor.borrowed(tensor))).hold();
    }

    /// The object that stood for this tensor at the same point of the last step, else a new one.
    private PooledTensor objectFor(Slab slab, long offset, long bytes, DType dtype, long rows, long cols) {
        return taken < step.size() && step.get(taken).fits(slab, offset, dtype, rows, cols) ? step.get(taken++)
                : remember(new PooledTensor(Tensor.of(slab.memory, offset, dtype, rows, cols), slab, offset, bytes));
    }

    private PooledTensor remember(PooledTensor made) {
        if (taken < step.size()) {
            step.set(taken++, made);
        } else if (taken < REMEMBERED) {
            step.add(made);
            taken++;
        }
        return made;
    }

    /// The tape of the next pass. Two take turns, so that whoever goes on with one that is closed hears of it, even in the next pass.
    Tape nextTape() {
        if (tape.isOpen()) {
            throw new IllegalStateException("a tape of this pool is open; close it first, or give each a pool of its own");
        }
        Tape next = lastTape;
        lastTape = tape;
        tape = next;
        return next;
    }

    /// Takes every tensor back, whether released or not; none of them may be used any more. Slabs that accumulated are merged
    /// into one, so that the next step has room without fragments.
    public void reset() {
        generation++;
        for (int i = 0; i < lasting.size(); i++) {
            lasting.get(i).release();
        }
        lasting.clear();
        taken = 0;
        liveBytes = 0;
        if (slabs.size() > 1) {
            long bytes = reservedBytes();
            close();
            grow(bytes);
        } else {
            slabs.forEach(slab -> slab.free.reset());
        }
    }

    /// Bytes that are handed out at this moment.
    public long liveBytes() {
        return liveBytes;
    }

    /// The most bytes that were handed out at any moment.
    public long peakBytes() {
        return peakBytes;
    }

    /// Bytes of device memory that the pool occupies.
    public long reservedBytes() {
        return slabs.stream().mapToLong(slab -> slab.memory.bytes()).sum();
    }

    private Slab grow(long bytes) {
        long size = roundUp(Math.max(bytes, Math.max(SMALLEST_SLAB, reservedBytes() / GROWTH_DIVISOR)));
        Slab slab = new Slab(Memory.allocate(stream.device(), size));
        slabs.add(slab);
        return slab;
    }

    private static long roundUp(long bytes) {
        return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
    }

    /// Frees the slabs after the queued operations are over; those of a closed stream are. Closing twice does nothing.
    ///
    /// @throws Nf4jException if one of them failed; the slabs are freed all the same
    @Override
    public void close() {
        if (slabs.isEmpty()) {
            return;
        }
        Nf4jException failure = null;
        try {
            if (!stream.isClosed()) {
                stream.synchronize();
            }
        } catch (Nf4jException e) {
            failure = e;
        }
        slabs.forEach(slab -> slab.memory.close());
        slabs.clear();
        step.clear();
        lasting.clear();
        taken = 0;
        if (failure != null) {
            throw failure;
        }
    }
}
