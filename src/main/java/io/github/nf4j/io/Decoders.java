package io.github.nf4j.io;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import io.github.nf4j.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;

/// Loops that turn stored elements into F32. Sources may be unaligned, little-endian; destinations are aligned floats.
final class Decoders {
    private static final ValueLayout.OfFloat F32_LE = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfShort U16_LE = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final int BLOCK = 32;

    private Decoders() {
    }

    /// Decodes `count` elements, all of `src`, to `dst`.
    @FunctionalInterface
    interface Decoder {
        void decode(MemorySegment src, MemorySegment dst, long count);
    }

    static Decoder of(DType dtype) {
        return switch (dtype) {
            case F32 -> Decoders::f32;
            case F16 -> Decoders::f16;
            case BF16 -> Decoders::bf16;
            case I32, I64, U8 -> throw new IllegalArgumentException(dtype + " is not a floating-point type");
        };
    }

    static void f32(MemorySegment src, MemorySegment dst, long count) {
        MemorySegment.copy(src, F32_LE, 0, dst, ValueLayout.JAVA_FLOAT, 0, count);
    }

    static void f16(MemorySegment src, MemorySegment dst, long count) {
        for (long i = 0; i < count; i++) {
            dst.setAtIndex(ValueLayout.JAVA_FLOAT, i, half(src, 2 * i));
        }
    }

    static void bf16(MemorySegment src, MemorySegment dst, long count) {
        for (long i = 0; i < count; i++) {
            dst.setAtIndex(ValueLayout.JAVA_INT, i, src.get(U16_LE, 2 * i) << 16);
        }
    }

    static void q4_0(MemorySegment src, MemorySegment dst, long count) {
        for (long b = 0; b < count / BLOCK; b++) {
            long block = b * 18;
            nibbles(src, block + 2, dst, b * BLOCK, 8, half(src, block), -0f); // adding -0 changes nothing, not even +0
        }
    }

    static void q4_1(MemorySegment src, MemorySegment dst, long count) {
        for (long b = 0; b < count / BLOCK; b++) {
            long block = b * 20;
            nibbles(src, block + 4, dst, b * BLOCK, 0, half(src, block), half(src, block + 2));
        }
    }

    static void q8_0(MemorySegment src, MemorySegment dst, long count) {
        for (long b = 0; b < count / BLOCK; b++) {
            long block = b * 34;
            float d = half(src, block);
            for (int j = 0; j < BLOCK; j++) {
                dst.setAtIndex(ValueLayout.JAVA_FLOAT, b * BLOCK + j,
                        src.get(ValueLayout.JAVA_BYTE, block + 2 + j) * d);
            }
        }
    }

    /// Decodes a block to `(q - zero) * d + m`. Byte `j` holds element `j` in its low nibble and element `j + 16` in
    /// its high one.
    private static void nibbles(MemorySegment src, long at, MemorySegment dst, long to, int zero, float d, float m) {
        for (int j = 0; j < BLOCK / 2; j++) {
            int pair = src.get(ValueLayout.JAVA_BYTE, at + j);
            dst.setAtIndex(ValueLayout.JAVA_FLOAT, to + j, ((pair & 15) - zero) * d + m);
            dst.setAtIndex(ValueLayout.JAVA_FLOAT, to + j + BLOCK / 2, ((pair >>> 4 & 15) - zero) * d + m);
        }
    }

    private static float half(MemorySegment src, long at) {
        return Float.float16ToFloat(src.get(U16_LE, at));
    }

    /// Refuses a tensor of floats that holds NaN or infinity.
    static void requireFinite(Path file, RawTensor tensor) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
            of(tensor.dtype()).decode(tensor.data(), floats, tensor.elements());
            requireFinite(file, tensor.name(), floats, tensor.elements(), 0);
        }
    }

    /// Refuses NaN and infinity among `count` decoded floats.
    ///
    /// @param first what element of the tensor they begin with
    static void requireFinite(Path file, String tensor, MemorySegment floats, long count, long first) {
        long bad = firstNonFinite(floats, count);
        if (bad >= 0) {
            throw new FileFormatException(file, "tensor '" + tensor + "'", "element " + (first + bad) + " is "
                    + floats.getAtIndex(ValueLayout.JAVA_FLOAT, bad));
        }
    }

    /// Index of the first NaN or infinity among `count` floats, or -1.
    private static long firstNonFinite(MemorySegment floats, long count) {
        int exponent = 0x7f800000;
        for (long i = 0; i < count; i++) {
            if ((floats.getAtIndex(ValueLayout.JAVA_INT, i) & exponent) == exponent) {
                return i;
            }
        }
        return -1;
    }
}
