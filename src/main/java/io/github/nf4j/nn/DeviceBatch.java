package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.op.PackedSequences;
import java.util.Arrays;
import java.util.stream.IntStream;

/// What a forward pass reads of its batch, in device memory: tokens, targets, rope's table and the seeds of dropout. Batches whose
/// sequences have the same lengths can be written to the same memory one after the other; a [io.github.nf4j.Graph] of the pass
/// reads the last.
public final class DeviceBatch {
    private final Stream stream;
    private final int[] offsets;
    private final PackedSequences sequences;
    private final Tensor ids;
    private final Tensor targets;
    private final Tensor ropeTable;
    private final Tensor dropoutSeeds;

    /// @param pool    whose memory it has, until the pool is reset
    /// @param form    a batch with the lengths that all will have; nothing of it is written yet
    /// @param modules projections that get a seed; 0 for a pass without dropout
    DeviceBatch(TensorPool pool, RopeTables rope, TokenBatch form, int modules) {
        this.stream = pool.stream();
        this.offsets = form.offsets();
        int[] lengths = new int[form.sequences()];
        Arrays.setAll(lengths, s -> offsets[s + 1] - offsets[s]);
        this.sequences = PackedSequences.ofLengths(lengths);
        this.ropeTable = rope.table(pool, new int[lengths.length], lengths);
        this.ids = pool.takeLasting(DType.I32, 1, form.tokens());
        this.targets = pool.takeLasting(DType.I32, 1, form.targets().length);
        this.dropoutSeeds = modules == 0 ? null : pool.takeLasting(DType.I64, 1, modules);
    }

    /// Whether `batch` has the lengths that this memory is for.
    public boolean fits(TokenBatch batch) {
        return Arrays.equals(offsets, batch.offsets()) && targets.cols() == batch.targets().length;
    }

    /// Copies a batch to the device.
    ///
    /// @param dropoutSeed seed of the pass's dropout ([Seeds#dropout]), where it has one
    /// @throws IllegalArgumentException if its sequences have other lengths
    public void write(TokenBatch batch, long dropoutSeed) {
        if (!fits(batch)) {
            throw new IllegalArgumentException("a batch of " + batch.tokens() + " tokens whose sequences begin at "
                    + Arrays.toString(batch.offsets()) + "; the memory is for sequences that begin at " + Arrays.toString(offsets));
        }
        HostCopies.write(stream, batch.tokenIds(), ids);
        if (targets.cols() > 0) {
            HostCopies.write(stream, batch.targets(), targets);
        }
        if (dropoutSeeds != null) {
            long[] seeds = IntStream.range(0, (int) dropoutSeeds.cols()).mapToLong(i -> Seeds.module(dropoutSeed, i)).toArray();
            HostCopies.write(stream, seeds, dropoutSeeds);
        }
    }

    PackedSequences sequences() {
        return sequences;
    }

    /// I32 [1, tokens].
    Tensor ids() {
        return ids;
    }

    /// I32 [1, tokens].
    Tensor targets() {
        return targets;
    }

    /// F32 [tokens, head size].
    Tensor ropeTable() {
        return ropeTable;
    }

    /// I64 [1, projections], or null for no dropout.
    Tensor dropoutSeeds() {
        return dropoutSeeds;
    }
}
