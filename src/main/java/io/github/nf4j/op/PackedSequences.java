package io.github.nf4j.op;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// Where sequences lie in the rows of packed queries, keys and values. Immutable; its off-heap arrays are freed when it
/// becomes garbage.
public final class PackedSequences {
    private final int count;
    private final int rows;
    private final MemorySegment queryOffsets;
    private final MemorySegment kvOffsets;
    private final MemorySegment kvLengths;

    private PackedSequences(int[] queryLengths, int[] kvOffsets, int[] kvLengths) {
        int[] offsets = new int[queryLengths.length + 1];
        for (int i = 0; i < queryLengths.length; i++) {
            if (queryLengths[i] < 0) {
                throw new IllegalArgumentException("length of sequence " + i + " is " + queryLengths[i]);
            }
            offsets[i + 1] = Math.addExact(offsets[i], queryLengths[i]);
        }
        Arena arena = Arena.ofAuto();
        this.count = queryLengths.length;
        this.rows = offsets[count];
        this.queryOffsets = arena.allocateFrom(ValueLayout.JAVA_INT, offsets);
        this.kvOffsets = kvOffsets == null ? MemorySegment.NULL : arena.allocateFrom(ValueLayout.JAVA_INT, kvOffsets);
        this.kvLengths = kvLengths == null ? MemorySegment.NULL : arena.allocateFrom(ValueLayout.JAVA_INT, kvLengths);
    }

    /// Sequences that follow one another, each with as many keys as queries, in the same rows.
    public static PackedSequences ofLengths(int... lengths) {
        return new PackedSequences(lengths, null, null);
    }

    /// Sequences whose queries follow one another and whose keys and values are elsewhere, as in a key-value cache:
    /// those of sequence s in the rows `kvOffsets[s]` ... `kvOffsets[s] + kvLengths[s] - 1`. Its last query sees its
    /// last key.
    ///
    /// @param kvLengths at least the number of the sequence's queries
    public static PackedSequences withCache(int[] queryLengths, int[] kvOffsets, int[] kvLengths) {
        if (kvOffsets.length != queryLengths.length || kvLengths.length != queryLengths.length) {
            throw new IllegalArgumentException("queryLengths, kvOffsets and kvLengths have "
                    + queryLengths.length + ", " + kvOffsets.length + " and " + kvLengths.length
                    + " elements; they must have the same number");
        }
        return new PackedSequences(queryLengths, kvOffsets, kvLengths);
    }

    /// The number of sequences.
    public int count() {
        return count;
    }

    /// The rows of the packed queries.
    public int rows() {
        return rows;
    }

    /// Rows of keys that any query sees, each sequence's counted once.
    long keys() {
        long keys = 0;
        for (int s = 0; s < count; s++) {
            keys += keys(s);
        }
        return keys;
    }

    /// How many pairs of a query and a key that it sees there are.
    ///
    /// @param window as in [AttentionShape]
    long pairs(int window) {
        long pairs = 0;
        for (int s = 0; s < count; s++) {
            for (int before = keys(s) - queries(s); before < keys(s); before++) {
                pairs += window == 0 ? before + 1 : Math.min(before + 1, window);
            }
        }
        return pairs;
    }

    private int queries(int sequence) {
        return queryOffsets.getAtIndex(ValueLayout.JAVA_INT, sequence + 1) - queryOffsets.getAtIndex(ValueLayout.JAVA_INT, sequence);
    }

    private int keys(int sequence) {
        return kvLengths.equals(MemorySegment.NULL) ? queries(sequence) : kvLengths.getAtIndex(ValueLayout.JAVA_INT, sequence);
    }

    MemorySegment queryOffsets() {
        return queryOffsets;
    }

    MemorySegment kvOffsets() {
        return kvOffsets;
    }

    MemorySegment kvLengths() {
        return kvLengths;
    }

    @Override
    public String toString() {
        return "sequences that begin at rows " + Arrays.toString(queryOffsets.toArray(ValueLayout.JAVA_INT));
    }
}
