package io.github.nf4j;

/// Element types of tensors. The codes are those of `nf4j.h`: DLPack's type code in the high byte, bits in the low one.
public enum DType {
    F32(0x0220, 4),
    F16(0x0210, 2),
    BF16(0x0410, 2),
    I32(0x0020, 4),
    I64(0x0040, 8),
    U8(0x0108, 1);

    private final int code;
    private final int bytes;

    DType(int code, int bytes) {
        this.code = code;
        this.bytes = bytes;
    }

    /// The value of `nf4j_dtype` in the C header.
    public int code() {
        return code;
    }

    /// Size of one element in bytes.
    public int bytes() {
        return bytes;
    }
}
