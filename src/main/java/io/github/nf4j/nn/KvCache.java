package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.internal.Undo;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.PackedSequences;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/// Keys and values of sequences that are being continued, for [LlamaModel#decode]. Sequence `s` has the rows from
/// `s * capacity` on, in every layer.
public final class KvCache implements AutoCloseable {
    private final int capacity;
    private final int[] lengths;
    private final List<Tensor> keys = new ArrayList<>();
    private final List<Tensor> values = new ArrayList<>();
    private final Tensor logits;
    private int[] appending;

    /// Memory for `sequences` empty sequences.
    ///
    /// @param dtype    type of the model's activations
    /// @param capacity the most tokens that a sequence can have, prompt included
    /// @throws io.github.nf4j.OutOfDeviceMemoryException if there is not that much
    KvCache(Device device, ModelConfig config, DType dtype, int sequences, int capacity) {
        if (sequences < 1 || capacity < 1) {
            throw new IllegalArgumentException("sequences " + sequences + " and capacity " + capacity + " must be at least 1");
        }
        this.capacity = capacity;
        this.lengths = new int[sequences];
        long rows = Math.multiplyExact(sequences, capacity);
        try (Undo undo = new Undo()) {
            this.logits = Tensor.allocate(device, DType.F32, sequences, config.vocabularySize());
            undo.add(this::close);
            for (int layer = 0; layer < config.layers(); layer++) {
                keys.add(Tensor.allocate(device, dtype, rows, config.keyValueSize()));
                values.add(Tensor.allocate(device, dtype, rows, config.keyValueSize()));
            }
            undo.keep();
        }
    }

    public int sequences() {
        return lengths.length;
    }

    public int capacity() {
        return capacity;
    }

    /// Tokens that a sequence has so far.
    public int length(int sequence) {
        return lengths[sequence];
    }

    /// Forgets every sequence.
    public void clear() {
        Arrays.fill(lengths, 0);
    }

    /// Makes room for the next tokens of the sequences.
    ///
    /// @param counts for each sequence the number of new tokens; 0 leaves it alone
    /// @return where those with new tokens lie
    PackedSequences extend(int[] counts) {
        int[] active = active(counts);
        for (int s : active) {
            if (counts[s] > capacity - lengths[s]) {
                throw new IllegalArgumentException("sequence " + s + " has " + lengths[s] + " tokens and would get " + counts[s]
                        + " more; the cache has room for " + capacity);
            }
        }
        appending = counts.clone();
        return PackedSequences.withCache(
                Arrays.stream(active).map(s -> counts[s]).toArray(),
                Arrays.stream(active).map(s -> s * capacity).toArray(),
                Arrays.stream(active).map(s -> lengths[s] + counts[s]).toArray());
    }

    /// Copies the new keys and values of a layer to their places.
    void append(Stream stream, int layer, Tensor newKeys, Tensor newValues) {
        int row = 0;
        for (int s : active(appending)) {
            long place = (long) s * capacity + lengths[s];
            MemoryOps.copy(stream, newKeys.rows(row, appending[s]), keys.get(layer).rows(place, appending[s]));
            MemoryOps.copy(stream, newValues.rows(row, appending[s]), values.get(layer).rows(place, appending[s]));
            row += appending[s];
        }
    }

    /// Counts the tokens of [#extend] in, once all layers have them.
    void commit() {
        for (int s = 0; s < lengths.length; s++) {
            lengths[s] += appending[s];
        }
    }

    Tensor keys(int layer) {
        return keys.get(layer);
    }

    Tensor values(int layer) {
        return values.get(layer);
    }

    /// F32 [sequences, vocabulary].
    Tensor logits() {
        return logits;
    }

    private static int[] active(int[] counts) {
        return IntStream.range(0, counts.length).filter(s -> counts[s] > 0).toArray();
    }

    @Override
    public void close() {
        keys.forEach(Tensor::close);
        values.forEach(Tensor::close);
        logits.close();
    }
}
