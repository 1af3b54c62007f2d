package io.github.nf4j.autograd;

import java.util.Arrays;

/// Which ranges of a slab of memory are free. Best fit; neighbours merge when they are given back. Once its arrays have grown, it
/// allocates nothing.
final class FreeRanges {
    private final long capacity;
    private long[] offsets = new long[16]; // ascending
    private long[] sizes = new long[16];
    private int count;

    FreeRanges(long capacity) {
        this.capacity = capacity;
        reset();
    }

    void reset() {
        offsets[0] = 0;
        sizes[0] = capacity;
        count = 1;
    }

    /// The size of the smallest free range that holds `bytes`, or `Long.MAX_VALUE` where there is none.
    long bestFit(long bytes) {
        long best = Long.MAX_VALUE;
        for (int i = 0; i < count; i++) {
            if (sizes[i] >= bytes && sizes[i] < best) {
                best = sizes[i];
            }
        }
        return best;
    }

    /// Takes `bytes` from the first range of the size that [#bestFit] found.
    ///
    /// @return the offset in the slab
    long take(long bytes, long fit) {
        for (int i = 0; i < count; i++) {
            if (sizes[i] == fit) {
                long offset = offsets[i];
                if (fit > bytes) {
                    offsets[i] += bytes;
                    sizes[i] -= bytes;
                } else {
                    remove(i);
                }
                return offset;
            }
        }
        throw new IllegalStateException("no free range of " + fit + " bytes");
    }

    void giveBack(long offset, long bytes) {
        int at = Arrays.binarySearch(offsets, 0, count, offset);
        int next = -at - 1; // the range behind: a range that is taken is none of the free
        boolean afterFree = next > 0 && offsets[next - 1] + sizes[next - 1] == offset;
        boolean beforeFree = next < count && offset + bytes == offsets[next];
        if (afterFree) {
            sizes[next - 1] += bytes + (beforeFree ? sizes[next] : 0);
            if (beforeFree) {
                remove(next);
            }
        } else if (beforeFree) {
            offsets[next] = offset;
            sizes[next] += bytes;
        } else {
            insert(next, offset, bytes);
        }
    }

    private void insert(int at, long offset, long bytes) {
        if (count == offsets.length) {
            offsets = Arrays.copyOf(offsets, 2 * count);
            sizes = Arrays.copyOf(sizes, 2 * count);
        }
        System.arraycopy(offsets, at, offsets, at + 1, count - at);
        System.arraycopy(sizes, at, sizes, at + 1, count - at);
        offsets[at] = offset;
        sizes[at] = bytes;
        count++;
    }

    private void remove(int at) {
        count--;
        System.arraycopy(offsets, at + 1, offsets, at, count - at);
        System.arraycopy(sizes, at + 1, sizes, at, count - at);
    }
}
