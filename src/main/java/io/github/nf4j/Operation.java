package io.github.nf4j;

/// The operations that [Stream#explain] knows. The codes are those of `nf4j_operation` in `nf4j.h`.
public enum Operation {
    NF4_QUANTIZE(1),
    NF4_DEQUANTIZE(2),
    NF4_MATMUL(3),
    NF4_MATMUL_BACKWARD(4),
    LORA_FORWARD(5),
    LORA_BACKWARD(6),
    DENSE_MATMUL(7),
    NORM(8),
    ROPE(9),
    ATTENTION(10),
    MLP(11),
    EMBEDDING(12),
    LOSS(13),
    OPTIM(14),
    MEMORY(15);

    private final int code;

    Operation(int code) {
        this.code = code;
    }

    /// The value of `nf4j_operation` in the C header.
    public int code() {
        return code;
    }
}
