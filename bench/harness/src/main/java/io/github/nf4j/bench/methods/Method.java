package io.github.nf4j.bench.methods;

import io.github.nf4j.DType;
import io.github.nf4j.nn.Quantization;

/// Ways to fine-tune: what the frozen weights are kept in, and what is computed in.
public enum Method {
    LORA_F32("LoRA, F32", Quantization.none(), DType.F32),
    LORA_BF16("LoRA, BF16", Quantization.none(), DType.BF16),
    QLORA_F32("QLoRA, F32", Quantization.nf4(), DType.F32),
    QLORA_BF16("QLoRA, BF16", Quantization.nf4(), DType.BF16);

    private final String title;
    private final Quantization quantization;
    private final DType compute;

    Method(String title, Quantization quantization, DType compute) {
        this.title = title;
        this.quantization = quantization;
        this.compute = compute;
    }

    /// For people.
    public String title() {
        return title;
    }

    Quantization quantization() {
        return quantization;
    }

    DType compute() {
        return compute;
    }
}
