package io.github.nf4j.io;

/// Element types of GGUF tensors that nf4j decodes. Quantized ones come in blocks of 32 along the fastest dimension.
///
/// Layouts: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md> and ggml's `ggml-common.h`.
public enum GgufType {
    F32(0, 1, 4, Decoders::f32),
    F16(1, 1, 2, Decoders::f16),
    BF16(30, 1, 2, Decoders::bf16),
    /// `(q − 8)·d`: an f16 scale `d` and 32 nibbles a block.
    Q4_0(2, 32, 18, Decoders::q4_0),
    /// `q·d + m`: f16 `d`, f16 `m` and 32 nibbles a block.
    Q4_1(3, 32, 20, Decoders::q4_1),
    /// `q·d`: an f16 scale `d` and 32 signed bytes a block.
    Q8_0(8, 32, 34, Decoders::q8_0);

    private final int id;
    private final int blockElements;
    private final int blockBytes;
    private final Decoders.Decoder decoder;

    GgufType(int id, int blockElements, int blockBytes, Decoders.Decoder decoder) {
        this.id = id;
        this.blockElements = blockElements;
        this.blockBytes = blockBytes;
        this.decoder = decoder;
    }

    /// Elements in a block: 1 for types that are not quantized.
    public int blockElements() {
        return blockElements;
    }

    /// Bytes of a block.
    public int blockBytes() {
        return blockBytes;
    }

    Decoders.Decoder decoder() {
        return decoder;
    }

    /// The type with ggml's number `id`, or null if nf4j does not decode it.
    static GgufType of(int id) {
        for (GgufType type : values()) {
            if (type.id == id) {
                return type;
            }
        }
        return null;
    }

    /// What a number that [#of] does not know stands for, for messages.
    static String name(int id) {
        return switch (id) {
            case 6 -> "Q5_0";
            case 7 -> "Q5_1";
            case 9 -> "Q8_1";
            case 10 -> "Q2_K";
            case 11 -> "Q3_K";
            case 12 -> "Q4_K";
            case 13 -> "Q5_K";
            case 14 -> "Q6_K";
            case 15 -> "Q8_K";
            default -> "unknown";
        };
    }
}
