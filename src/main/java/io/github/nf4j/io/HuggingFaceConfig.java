package io.github.nf4j.io;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig.Architecture;
import io.github.nf4j.nn.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;

/// Reads `config.json` as transformers 4 and 5 write it. Defaults are those of transformers' configuration classes.
final class HuggingFaceConfig {
    /// Bounds that no model comes near; products of two of them fit an int.
    private static final int MAX_SIZE = 1 << 24;
    private static final int MAX_HEADS = 1 << 12;
    private static final int MAX_HEAD_SIZE = 1 << 12;
    private static final int MAX_LAYERS = 1 << 12;

    /// Fields of relatives of these models that change the computation, with the value at which they do not. A list or
    /// an object never is that value.
    private static final Map<String, String> NEUTRAL = neutralValues();

    private final JsonObject json;

    private HuggingFaceConfig(JsonObject json) {
        this.json = json;
    }

    static ModelConfig read(Path folder) throws IOException {
        ModelConfig config = new HuggingFaceConfig(JsonObject.read(FolderFiles.resolve(folder, "config.json"))).read();
        Path generation = FolderFiles.resolve(folder, "generation_config.json");
        if (!Files.exists(generation)) {
            return config;
        }
        List<Integer> eosIds = JsonObject.read(generation).integers("eos_token_id", config.vocabularySize() - 1);
        return eosIds.isEmpty() ? config : withEosIds(config, eosIds);
    }

    private ModelConfig read() {
        Architecture architecture = architecture();
        refuseWhatChangesTheMath();
        int hidden = json.integer("hidden_size", 1, MAX_SIZE);
        int vocabulary = json.integer("vocab_size", 1, MAX_SIZE);
        int layers = json.integer("num_hidden_layers", 1, MAX_LAYERS);
        int heads = json.integer("num_attention_heads", 1, MAX_HEADS);
        if (architecture != Architecture.LLAMA && json.get("num_key_value_heads") == null) {
            throw json.problem("num_key_value_heads", "missing; expected an integer or null");
        }
        int keyValueHeads = json.integer("num_key_value_heads", 1, heads, heads);
        if (heads % keyValueHeads != 0) {
            throw json.problem("num_key_value_heads", keyValueHeads + " does not divide num_attention_heads " + heads);
        }
        if (!json.has("head_dim") && hidden % heads != 0) {
            throw json.problem("head_dim", "missing, and num_attention_heads " + heads + " does not divide hidden_size "
                    + hidden);
        }
        int headSize = json.integer("head_dim", 1, MAX_HEAD_SIZE, hidden / heads);
        if (headSize % 2 != 0) {
            throw json.problem("head_dim", headSize + " is odd; rotary embedding needs pairs");
        }
        int maxPositions = json.integer("max_position_embeddings", 1, Integer.MAX_VALUE);
        HuggingFaceRope rope = HuggingFaceRope.read(json, maxPositions);
        boolean llama = architecture == Architecture.LLAMA;
        boolean attentionBias = llama && json.bool("attention_bias", false);
        return new ModelConfig(architecture, vocabulary, hidden, json.integer("intermediate_size", 1, MAX_SIZE), layers,
                heads, keyValueHeads, headSize, json.positive("rms_norm_eps", 1e-6), rope.theta(), rope.scaling(),
                maxPositions, attentionBias || architecture == Architecture.QWEN2, attentionBias,
                llama && json.bool("mlp_bias", false), slidingWindows(architecture, layers),
                json.bool("tie_word_embeddings", false), dtype(), id("bos_token_id", vocabulary),
                json.integers("eos_token_id", vocabulary - 1), id("pad_token_id", vocabulary), bnb4bit());
    }

    private Architecture architecture() {
        String type = json.string("model_type");
        for (Architecture architecture : Architecture.values()) {
            if (architecture.name().toLowerCase(Locale.ROOT).equals(type)) {
                return architecture;
            }
        }
        throw json.problem("model_type", "'" + type + "' is not supported; nf4j implements llama, qwen2 and mistral");
    }

    private void refuseWhatChangesTheMath() {
        NEUTRAL.forEach((field, neutral) -> {
            if (json.has(field) && !isNeutral(json.get(field), neutral)) {
                throw json.problem(field, json.get(field) + " is not supported; nf4j implements " + neutral + " alone");
            }
        });
    }

    private static boolean isNeutral(JsonNode value, String neutral) {
        if (value.isNumber()) {
            return String.valueOf(value.doubleValue()).equals(neutral);
        }
        return value.isValueNode() && value.asText().equals(neutral);
    }

    private static Map<String, String> neutralValues() {
        Map<String, String> neutral = new LinkedHashMap<>();
        neutral.put("hidden_act", "silu");
        neutral.put("hidden_activation", "silu");
        neutral.put("is_encoder_decoder", "false");
        neutral.put("add_cross_attention", "false");
        for (String one : List.of("partial_rotary_factor", "rotary_pct", "pretraining_tp", "embedding_multiplier",
                "residual_multiplier", "logits_scaling", "logit_scale")) {
            neutral.put(one, "1.0");
        }
        for (String zero : List.of("num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok")) {
            neutral.put(zero, "0.0");
        }
        for (String off : List.of("qk_layernorm", "use_qk_norm", "qk_norm", "alibi", "use_mrope", "parallel_residual",
                "use_parallel_residual")) {
            neutral.put(off, "false");
        }
        for (String unset : List.of("attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar",
                "attention_multiplier", "attention_chunk_size", "no_rope_layers", "clip_qkv",
                "original_max_position_embeddings", "block_configs", "vision_config")) {
            neutral.put(unset, "null");
        }
        return Collections.unmodifiableMap(neutral);
    }

    /// Mistral windows every layer; Qwen2 those that `layer_types` names or, before that field existed, those from
    /// `max_window_layers` on, and none unless `use_sliding_window`. Llama has no window, whatever the file says.
    private List<Integer> slidingWindows(Architecture architecture, int layers) {
        boolean absent = json.get("sliding_window") == null;
        int window = absent ? 4096 : json.integer("sliding_window", 1, Integer.MAX_VALUE, 0);
        return switch (architecture) {
            case LLAMA -> Collections.nCopies(layers, 0);
            case MISTRAL -> Collections.nCopies(layers, window);
            case QWEN2 -> qwen2Windows(layers, json.bool("use_sliding_window", false) ? window : 0);
        };
    }

    private List<Integer> qwen2Windows(int layers, int window) {
        List<Integer> windows = new ArrayList<>();
        if (!json.has("layer_types")) {
            int first = json.integer("max_window_layers", 0, Integer.MAX_VALUE, 28);
            for (int layer = 0; layer < layers; layer++) {
                windows.add(layer >= first ? window : 0);
            }
            return List.copyOf(windows);
        }
        List<String> types = json.strings("layer_types");
        if (types.size() != layers) {
            throw json.problem("layer_types", types.size() + " entries for " + layers + " layers");
        }
        for (String type : types) {
            windows.add(switch (type) {
                case "full_attention" -> 0;
                case "sliding_attention" -> {
                    if (window == 0) {
                        throw json.problem("layer_types", "has sliding_attention, but sliding_window is off");
                    }
                    yield window;
                }
                default -> throw json.problem("layer_types", "'" + type + "' is not supported");
            });
        }
        return List.copyOf(windows);
    }

    /// `dtype` since transformers 5, `torch_dtype` before.
    private DType dtype() {
        String field = json.has("dtype") ? "dtype" : "torch_dtype";
        String type = json.string(field, "float32");
        return switch (type) {
            case "float32" -> DType.F32;
            case "float16" -> DType.F16;
            case "bfloat16" -> DType.BF16;
            default -> throw json.problem(field, "'" + type
                    + "' is not supported; expected float32, float16 or bfloat16");
        };
    }

    private OptionalInt id(String field, int vocabulary) {
        // Negative stands for "none" in older configurations.
        int id = json.integer(field, -1, vocabulary - 1, -1);
        return id < 0 ? OptionalInt.empty() : OptionalInt.of(id);
    }

    private boolean bnb4bit() {
        if (!json.has("quantization_config")) {
            return false;
        }
        JsonObject quantization = json.object("quantization_config");
        String method = quantization.string("quant_method", "bitsandbytes");
        if (!method.equals("bitsandbytes")) {
            throw quantization.problem("quant_method", "'" + method + "' is not supported; nf4j reads bitsandbytes");
        }
        if (!quantization.bool("load_in_4bit", false)) {
            throw quantization.problem("load_in_4bit", "only 4-bit checkpoints of bitsandbytes are supported");
        }
        String type = quantization.string("bnb_4bit_quant_type", "fp4");
        if (!type.equals("nf4")) {
            throw quantization.problem("bnb_4bit_quant_type", "'" + type + "' is not supported; nf4j reads nf4");
        }
        String storage = quantization.string("bnb_4bit_quant_storage", "uint8");
        if (!storage.equals("uint8")) {
            throw quantization.problem("bnb_4bit_quant_storage", "'" + storage + "' is not supported; nf4j reads uint8");
        }
        return true;
    }

    private static ModelConfig withEosIds(ModelConfig c, List<Integer> eosIds) {
        return new ModelConfig(c.architecture(), c.vocabularySize(), c.hiddenSize(), c.intermediateSize(), c.layers(),
                c.heads(), c.keyValueHeads(), c.headSize(), c.rmsNormEpsilon(), c.ropeTheta(), c.ropeScaling(),
                c.maxPositions(), c.queryKeyValueBias(), c.outputBias(), c.mlpBias(), c.slidingWindows(),
                c.tiedEmbeddings(), c.dtype(), c.bosId(), eosIds, c.padId(), c.bnb4bit());
    }
}
