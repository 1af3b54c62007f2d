package io.github.nf4j;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Objects;

/// A quantized matrix [rows, cols] as bitsandbytes stores it, in host memory. Element 2i is the high nibble of
/// `codes[i]`, element 2i + 1 the low one; blocks run over the flattened matrix:
///
/// - `w[i] = quantMap[code] * absmax[i / blockSize]`;
/// - with double quantization, `absmax[b] = nestedMap[absmax8[b]] * nestedAbsmax[b / 256] + nestedOffset`.
///
/// The segments are off-heap, and those of F32 aligned to 4 bytes.
///
/// @param codes        U8 [(rows * cols + 1) / 2]
/// @param absmax       F32 [blocks] without double quantization, else null
/// @param absmax8      U8 [blocks] with double quantization, else null
/// @param quantMap     F32 [16]
/// @param nestedAbsmax F32 [(blocks + 255) / 256] with double quantization, else null
/// @param nestedMap    F32 [256] with double quantization, else null
/// @param nestedOffset 0 without double quantization
public record Nf4State(long rows, long cols, int blockSize, MemorySegment codes, MemorySegment absmax,
        MemorySegment absmax8, MemorySegment quantMap, MemorySegment nestedAbsmax,
        MemorySegment nestedMap, float nestedOffset) {
    private static final int NESTED_BLOCK = 256;

    public Nf4State {
        long elements = elements(rows, cols);
        long blocks = blocks(elements, blockSize);
        check("codes", codes, elements / 2 + elements % 2, 1);
        check("quantMap", quantMap, 16 * Float.BYTES, Float.BYTES);
        if ((absmax == null) == (absmax8 == null)) {
            throw new IllegalArgumentException("give exactly one of absmax (plain) and absmax8 (double quantization)");
        }
        if (absmax != null) {
            check("absmax", absmax, blocks * Float.BYTES, Float.BYTES);
        } else {
            check("absmax8", absmax8, blocks, 1);
            check("nestedAbsmax", nestedAbsmax, nestedBlocks(blocks) * Float.BYTES, Float.BYTES);
            check("nestedMap", nestedMap, 256 * Float.BYTES, Float.BYTES);
        }
    }

    /// A state without double quantization.
    public static Nf4State plain(long rows, long cols, int blockSize, MemorySegment codes, MemorySegment absmax,
                                 MemorySegment quantMap) {
        return new Nf4State(rows, cols, blockSize, codes, absmax, null, quantMap, null, null, 0);
    }

    /// A state with double quantization.
    public static Nf4State nested(long rows, long cols, int blockSize, MemorySegment codes, MemorySegment absmax8,
                                  MemorySegment quantMap, MemorySegment nestedAbsmax, MemorySegment nestedMap,
                                  float nestedOffset) {
        return new Nf4State(rows, cols, blockSize, codes, null, absmax8, quantMap, nestedAbsmax, nestedMap,
                nestedOffset);
    }

    /// A state with arrays of the right sizes from `allocator`, to be filled by an export.
    public static Nf4State allocate(SegmentAllocator allocator, long rows, long cols, int blockSize,
                                    boolean doubleQuant) {
        long elements = elements(rows, cols);
        long blocks = blocks(elements, blockSize);
        MemorySegment codes = allocator.allocate(elements / 2 + elements % 2);
        MemorySegment quantMap = allocator.allocate(16 * Float.BYTES, Float.BYTES);
        return doubleQuant
                ? nested(rows, cols, blockSize, codes, allocator.allocate(blocks), quantMap,
                        allocator.allocate(nestedBlocks(blocks) * Float.BYTES, Float.BYTES),
                        allocator.allocate(256 * Float.BYTES, Float.BYTES), 0)
                : plain(rows, cols, blockSize, codes, allocator.allocate(blocks * Float.BYTES, Float.BYTES), quantMap);
    }

    /// The same arrays with another offset.
    public Nf4State withNestedOffset(float offset) {
        return new Nf4State(rows, cols, blockSize, codes, absmax, absmax8, quantMap, nestedAbsmax, nestedMap, offset);
    }

    public boolean doubleQuant() {
        return absmax8 != null;
    }

    private static long elements(long rows, long cols) {
        if (rows < 0 || cols < 0) {
            throw new IllegalArgumentException("shape [" + rows + ", " + cols + "] must not be negative");
        }
        return Math.multiplyExact(rows, cols);
    }

    private static long blocks(long elements, int blockSize) {
        if (blockSize <= 0) {
            throw new IllegalArgumentException("blockSize " + blockSize + " must be one of 32, 64, ..., 4096");
        }
        return Math.ceilDiv(elements, blockSize);
    }

    private static long nestedBlocks(long blocks) {
        return Math.ceilDiv(blocks, NESTED_BLOCK);
    }

    private static void check(String name, MemorySegment segment, long bytes, long alignment) {
        Objects.requireNonNull(segment, name);
        if (!segment.isNative()) {
            throw new IllegalArgumentException(name + " lies on the Java heap; allocate it from an Arena");
        }
        if (segment.byteSize() != bytes) {
            throw new IllegalArgumentException(name + " has " + segment.byteSize()
                    + " bytes; this shape and block size need " + bytes);
        }
        if (segment.address() % alignment != 0) {
            throw new IllegalArgumentException(name + " begins at address 0x" + Long.toHexString(segment.address())
                    + ", which is not a multiple of " + alignment + "; copy it to aligned memory");
        }
    }
}
