package io.github.nf4j;

/// Instruction sets of [Backend#CPU]. The codes are those of `nf4j_isa` in `nf4j.h`.
public enum Isa {
    /// The best that this machine has.
    AUTO(0),
    GENERIC(1),
    /// With FMA and F16C.
    AVX2(2),
    /// F, BW, DQ and VL.
    AVX512(3),
    /// The same with VDPBF16PS for BF16 products.
    AVX512_BF16(4),
    NEON(5),
    /// [#AVX512_BF16] with AMX tiles: TDPBF16PS for BF16 products.
    AMX_BF16(6);

    private final int code;

    Isa(int code) {
        this.code = code;
    }

    /// The value of `nf4j_isa` in the C header.
    public int code() {
        return code;
    }
}
