package io.github.nf4j.op;

import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.nf4j_linear;
import io.github.nf4j.bindings.nf4j_lora;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// The C structs that more than one family takes.
final class Structs {
    private Structs() {
    }

    static MemorySegment linear(Call call, LinearWeight linear) {
        if (linear == null) {
            return MemorySegment.NULL;
        }
        MemorySegment struct = call.options(nf4j_linear.sizeof());
        switch (linear) {
            case LinearWeight.Dense(Tensor weight, Tensor bias) -> nf4j_linear.dense(struct, call.inner(weight));
            case LinearWeight.Nf4(var weight, Tensor bias) -> nf4j_linear.nf4(struct, call.weight(weight));
        }
        nf4j_linear.bias(struct, call.inner(linear.bias()));
        return struct;
    }

    static MemorySegment lora(Call call, LoraWeights lora) {
        return lora == null ? MemorySegment.NULL : up(call, down(call, call.options(nf4j_lora.sizeof()), lora), lora);
    }

    /// With what `nf4j_lora_project` reads.
    static MemorySegment projected(Call call, LoraWeights lora) {
        return lora == null ? MemorySegment.NULL : down(call, call.options(nf4j_lora.sizeof()), lora);
    }

    /// With what `nf4j_lora_apply` reads.
    static MemorySegment applied(Call call, LoraWeights lora) {
        return lora == null ? MemorySegment.NULL : up(call, call.options(nf4j_lora.sizeof()), lora);
    }

    private static MemorySegment down(Call call, MemorySegment struct, LoraWeights lora) {
        nf4j_lora.dropout(struct, lora.dropout());
        nf4j_lora.seed(struct, lora.seed());
        nf4j_lora.a(struct, call.inner(lora.a()));
        nf4j_lora.device_seed(struct, call.innerData(lora.deviceSeed()));
        return struct;
    }

    private static MemorySegment up(Call call, MemorySegment struct, LoraWeights lora) {
        nf4j_lora.rank_stabilized(struct, lora.rankStabilized() ? 1 : 0);
        nf4j_lora.alpha(struct, lora.alpha());
        nf4j_lora.b(struct, call.inner(lora.b()));
        return struct;
    }
}
