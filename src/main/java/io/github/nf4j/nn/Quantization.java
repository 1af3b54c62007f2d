package io.github.nf4j.nn;

/// What happens to the weights of the projections (q, k, v, o, gate, up, down) when a model is loaded. Embedding, norms and
/// output head stay as they are, and a projection that is stored as NF4 stays NF4.
public sealed interface Quantization {
    /// They are kept as stored.
    record None() implements Quantization {
    }

    /// They are quantized as bitsandbytes does.
    ///
    /// @param blockSize   elements with a common scale: 32, 64, ..., 4096
    /// @param doubleQuant whether the scales are kept in 8 bits
    record Nf4(int blockSize, boolean doubleQuant) implements Quantization {
    }

    /// QLoRA's setting: blocks of 64, double quantization.
    static Quantization nf4() {
        return new Nf4(64, true);
    }

    static Quantization none() {
        return new None();
    }
}
