package io.github.nf4j;

/// Where operations run. The codes are those of `nf4j_backend` in `nf4j.h`.
public enum Backend {
    /// [#CUDA] where there is a device, else [#CPU].
    AUTO(0),
    /// The specification: scalar, sums in double, never optimised.
    REFERENCE(1),
    /// Multi-threaded SIMD on the host.
    CPU(2),
    /// NVIDIA GPUs.
    CUDA(3),
    /// The CUDA kernels on host fibers, for tests without a GPU.
    SIMT(4);

    private final int code;

    Backend(int code) {
        this.code = code;
    }

    /// The value of `nf4j_backend` in the C header.
    public int code() {
        return code;
    }
}
