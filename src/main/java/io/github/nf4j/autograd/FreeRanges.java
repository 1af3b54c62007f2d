package io.github.nf4j.autograd;

import java.util.Map;
import java.util.TreeMap;

/// Which ranges of a slab of memory are free. Best fit; neighbours merge when they are given back.
final class FreeRanges {
    private final long capacity;
    private final TreeMap<Long, Long> sizeByOffset = new TreeMap<>();

    FreeRanges(long capacity) {
        this.capacity = capacity;
        reset();
    }

    void reset() {
        sizeByOffset.clear();
        sizeByOffset.put(0L, capacity);
    }

    /// The size of the smallest free range that holds `bytes`, or `Long.MAX_VALUE` where there is none.
    long bestFit(long bytes) {
        long best = Long.MAX_VALUE;
        for (long size : sizeByOffset.values()) {
            if (size >= bytes && size < best) {
                best = size;
            }
        }
        return best;
    }

    /// Takes `bytes` from the first range of the size that [#bestFit] found.
    ///
    /// @return the offset in the slab
    long take(long bytes, long fit) {
        for (Map.Entry<Long, Long> range : sizeByOffset.entrySet()) {
            if (range.getValue() == fit) {
                long offset = range.getKey();
                sizeByOffset.remove(offset);
                if (fit > bytes) {
                    sizeByOffset.put(offset + bytes, fit - bytes);
                }
                return offset;
            }
        }
        throw new IllegalStateException("no free range of " + fit + " bytes");
    }

    void giveBack(long offset, long bytes) {
        Map.Entry<Long, Long> before = sizeByOffset.lowerEntry(offset);
        if (before != null && before.getKey() + before.getValue() == offset) {
            offset = before.getKey();
            bytes += before.getValue();
        }
        Long after = sizeByOffset.remove(offset + bytes);
        if (after != null) {
            bytes += after;
        }
        sizeByOffset.put(offset, bytes);
    }
}
