package io.github.nf4j.io;

import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig.Architecture;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.RopeScaling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;

/// Reads a model's configuration from the metadata of a GGUF file, and from its tensors what the metadata leaves out.
final class GgufConfig {
    private static final int MAX_SIZE = 1 << 24;
    private static final int MAX_HEADS = 1 << 12;
    private static final int MAX_LAYERS = 1 << 12;

    /// Keys under the architecture's prefix that change the computation, all of them absent or zero in what nf4j
    /// implements.
    private static final List<String> UNSUPPORTED = List.of("expert_count", "expert_used_count", "logit_scale",
            "residual_scale", "embedding_scale", "attention.scale", "attn_logit_softcapping", "final_logit_softcapping",
            "attention.clamp_kqv", "attention.max_alibi_bias");

    private final Gguf gguf;
    private final GgufMetadata metadata;
    private final String prefix;

    private GgufConfig(Gguf gguf) {
        this.gguf = gguf;
        this.metadata = gguf.metadata();
        this.prefix = metadata.string("general.architecture") + ".";
    }

    static ModelConfig read(Gguf gguf) {
        return new GgufConfig(gguf).read();
    }

    private ModelConfig read() {
        Architecture architecture = architecture();
        for (String key : UNSUPPORTED) {
            if (metadata.number(prefix + key, 0) != 0) {
                throw metadata.problem(prefix + key, "is not supported");
            }
        }
        if (metadata.integer("split.count", 0, Integer.MAX_VALUE, 1) > 1) {
            throw metadata.problem("split.count", "models split over several files are not supported; join them");
        }
        int hidden = integer("embedding_length", MAX_SIZE);
        int layers = integer("block_count", MAX_LAYERS);
        int heads = integer("attention.head_count", MAX_HEADS);
        int keyValueHeads = metadata.integer(prefix + "attention.head_count_kv", 1, heads, heads);
        if (heads % keyValueHeads != 0) {
            throw metadata.problem(prefix + "attention.head_count_kv", keyValueHeads + " does not divide " + heads
                    + " heads");
        }
        int headSize = headSize(hidden, heads);
        long[] embedding = gguf.tensor("token_embd.weight").shape();
        if (embedding.length != 2 || embedding[0] > MAX_SIZE) {
            throw new FileFormatException(gguf.file(), "tensor 'token_embd.weight'", "shape " + Shapes.text(embedding)
                    + "; expected [vocabulary, " + hidden + "]");
        }
        int vocabulary = (int) embedding[0];
        int window = metadata.integer(prefix + "attention.sliding_window", 0, Integer.MAX_VALUE, 0);
        return new ModelConfig(architecture, vocabulary, hidden, integer("feed_forward_length", MAX_SIZE), layers,
                heads, keyValueHeads, headSize, positive("attention.layer_norm_rms_epsilon"),
                metadata.has(prefix + "rope.freq_base") ? positive("rope.freq_base") : 10_000, ropeScaling(headSize),
                integer("context_length", Integer.MAX_VALUE), has("blk.0.attn_q.bias"), has("blk.0.attn_output.bias"),
                has("blk.0.ffn_gate.bias"), Collections.nCopies(layers, window), !has("output.weight"), DType.F32,
                id("bos_token_id", vocabulary), eosIds(vocabulary), id("padding_token_id", vocabulary), false);
    }

    private Architecture architecture() {
        String name = metadata.string("general.architecture");
        return switch (name) {
            case "llama" -> Architecture.LLAMA;
            case "qwen2" -> Architecture.QWEN2;
            default -> throw metadata.problem("general.architecture", "'" + name
                    + "' is not supported; nf4j implements llama and qwen2");
        };
    }

    private int headSize(int hidden, int heads) {
        if (!metadata.has(prefix + "attention.key_length") && hidden % heads != 0) {
            throw metadata.problem(prefix + "attention.key_length", "missing, and " + heads + " heads do not divide "
                    + hidden);
        }
        int size = metadata.integer(prefix + "attention.key_length", 2, MAX_HEADS, hidden / heads);
        for (String key : List.of("attention.value_length", "rope.dimension_count")) {
            int other = metadata.integer(prefix + key, 0, Integer.MAX_VALUE, size);
            if (other != size) {
                throw metadata.problem(prefix + key, other + " is not supported; a head has " + size);
            }
        }
        if (size % 2 != 0) {
            throw metadata.problem(prefix + "attention.key_length", size + " is odd; rotary embedding needs pairs");
        }
        return size;
    }

    private RopeScaling ropeScaling(int headSize) {
        String scaling = prefix + "rope.scaling.";
        String type = metadata.string(scaling + "type", "none");
        if (has("rope_freqs.weight")) {
            return new RopeScaling.Divisors(ropeDivisors(headSize));
        }
        return switch (type) {
            case "none" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(positive("rope.scaling.factor"));
            case "yarn" -> {
                double factor = positive("rope.scaling.factor");
                // llama.cpp multiplies the paper's factor by this one
                double attention = metadata.number(scaling + "attn_factor", 1)
                        * RopeScaling.Yarn.attentionFactor(factor, 1);
                yield new RopeScaling.Yarn(factor, attention, metadata.number(scaling + "yarn_beta_fast", 32),
                        metadata.number(scaling + "yarn_beta_slow", 1),
                        positive("rope.scaling.original_context_length"), true);
            }
            default -> throw metadata.problem(scaling + "type", "'" + type
                    + "' is not supported; nf4j implements none, linear and yarn");
        };
    }

    private List<Double> ropeDivisors(int headSize) {
        GgufTensor tensor = gguf.tensor("rope_freqs.weight");
        if (tensor.elements() != headSize / 2) {
            throw new FileFormatException(gguf.file(), "tensor 'rope_freqs.weight'", tensor.elements()
                    + " elements; expected " + headSize / 2);
        }
        List<Double> divisors = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment values = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
            tensor.dequantize(0, tensor.elements(), values);
            for (float divisor : values.toArray(ValueLayout.JAVA_FLOAT)) {
                if (!(divisor > 0) || divisor == Float.POSITIVE_INFINITY) {
                    throw new FileFormatException(gguf.file(), "tensor 'rope_freqs.weight'", "holds " + divisor);
                }
                divisors.add((double) divisor);
            }
        }
        return List.copyOf(divisors);
    }

    /// `eot` ends a turn of a chat where `eos` ends a text.
    private List<Integer> eosIds(int vocabulary) {
        List<Integer> ids = new ArrayList<>();
        for (String key : List.of("eos_token_id", "eot_token_id")) {
            id(key, vocabulary).ifPresent(id -> {
                if (!ids.contains(id)) {
                    ids.add(id);
                }
            });
        }
        return List.copyOf(ids);
    }

    private OptionalInt id(String key, int vocabulary) {
        String full = "tokenizer.ggml." + key;
        return metadata.has(full) ? OptionalInt.of(metadata.integer(full, 0, vocabulary - 1)) : OptionalInt.empty();
    }

    private boolean has(String tensor) {
        return gguf.tensorNames().contains(tensor);
    }

    private int integer(String key, int limit) {
        return metadata.integer(prefix + key, 1, limit);
    }

    private double positive(String key) {
        double value = metadata.number(prefix + key);
        if (!(value > 0)) {
            throw metadata.problem(prefix + key, "expected a number greater than 0, found " + value);
        }
        return value;
    }
}
