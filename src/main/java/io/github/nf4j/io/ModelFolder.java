package io.github.nf4j.io;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.RopeScaling;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// Writes everything of a Hugging Face model folder but the weights: configuration, tokenizer and chat template of a model whose
/// weights were changed.
public final class ModelFolder {
    /// Weights in any format, and the lists of their shards.
    private static final Pattern WEIGHTS = Pattern.compile(".*\\.(safetensors|bin|pt|pth|gguf)(\\.index\\.json)?");

    private ModelFolder() {
    }

    /// Describes in `folder` the model at `model`: of a folder, its files are copied; of a GGUF file, they are made from its metadata.
    ///
    /// @param dtype type of the new weights
    /// @throws FileFormatException if a GGUF file says something that `config.json` cannot
    public static void describe(Path model, ModelConfig config, DType dtype, Path folder) throws IOException {
        if (Files.isDirectory(model)) {
            copy(model, dtype, folder);
        } else {
            try (Arena arena = Arena.ofConfined()) {
                convert(Gguf.open(model, arena).metadata(), model, config, dtype, folder);
            }
        }
    }

    private static void copy(Path model, DType dtype, Path folder) throws IOException {
        try (Stream<Path> files = Files.list(model)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                String name = file.getFileName().toString();
                if (Files.isRegularFile(file) && !WEIGHTS.matcher(name).matches() && !name.equals("config.json")) {
                    AtomicFile.copy(FolderFiles.resolve(model, name), folder.resolve(name));
                }
            }
        }
        ObjectNode config = JsonObject.read(FolderFiles.resolve(model, "config.json")).node();
        config.remove("quantization_config");
        config.put(config.has("torch_dtype") ? "torch_dtype" : "dtype", name(dtype));
        write(folder.resolve("config.json"), config);
    }

    private static void convert(GgufMetadata metadata, Path file, ModelConfig config, DType dtype, Path folder) throws IOException {
        write(folder.resolve("config.json"), configuration(file, config, dtype));
        AtomicFile.write(folder.resolve("tokenizer.json"), GgufTokenizer.json(file, metadata).text());
        ObjectNode tokenizer = JsonNodeFactory.instance.objectNode().put("tokenizer_class", "PreTrainedTokenizerFast")
                .put("model_max_length", config.maxPositions());
        SpecialTokens.read(metadata).texts().forEach(tokenizer::put);
        write(folder.resolve("tokenizer_config.json"), tokenizer);
        if (metadata.has("tokenizer.chat_template")) {
            AtomicFile.write(folder.resolve("chat_template.jinja"), metadata.string("tokenizer.chat_template"));
        }
        ObjectNode generation = JsonNodeFactory.instance.objectNode();
        putIds(generation, config);
        write(folder.resolve("generation_config.json"), generation);
    }

    private static ObjectNode configuration(Path file, ModelConfig config, DType dtype) {
        boolean llama = config.architecture() == ModelConfig.Architecture.LLAMA;
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.putArray("architectures").add(llama ? "LlamaForCausalLM" : "Qwen2ForCausalLM");
        json.put("model_type", config.architecture().name().toLowerCase(Locale.ROOT)).put("dtype", name(dtype))
                .put("vocab_size", config.vocabularySize()).put("hidden_size", config.hiddenSize())
                .put("intermediate_size", config.intermediateSize()).put("num_hidden_layers", config.layers())
                .put("num_attention_heads", config.heads()).put("num_key_value_heads", config.keyValueHeads())
                .put("head_dim", config.headSize()).put("hidden_act", "silu").put("rms_norm_eps", config.rmsNormEpsilon())
                .put("max_position_embeddings", config.maxPositions()).put("tie_word_embeddings", config.tiedEmbeddings());
        if (llama) {
            if (config.queryKeyValueBias() != config.outputBias()) {
                throw new FileFormatException(file, "blk.0.attn_output.bias", "is there without the others, or missing beside them; "
                        + "config.json of Llama has one switch for all four");
            }
            json.put("attention_bias", config.queryKeyValueBias()).put("mlp_bias", config.mlpBias());
        }
        json.put("rope_theta", config.ropeTheta());
        switch (config.ropeScaling()) {
            case RopeScaling.None _ -> {
            }
            case RopeScaling.Linear(double factor) -> json.putObject("rope_scaling").put("rope_type", "linear").put("factor", factor);
            default -> throw new FileFormatException(file, "rope scaling", config.ropeScaling() + " has no counterpart in config.json "
                    + "that is known to be exact; start from the model's Hugging Face folder instead");
        }
        putIds(json, config);
        return json;
    }

    private static void putIds(ObjectNode json, ModelConfig config) {
        config.bosId().ifPresent(id -> json.put("bos_token_id", id));
        config.padId().ifPresent(id -> json.put("pad_token_id", id));
        if (!config.eosIds().isEmpty()) {
            ArrayNode ids = json.putArray("eos_token_id");
            config.eosIds().forEach(ids::add);
        }
    }

    /// Writes `model.safetensors.index.json`, which says in which shard each tensor lies.
    public static void writeIndex(Path folder, Map<String, String> shards, long totalBytes) throws IOException {
        ObjectNode index = JsonNodeFactory.instance.objectNode();
        index.putObject("metadata").put("total_size", totalBytes);
        ObjectNode map = index.putObject("weight_map");
        shards.forEach(map::put);
        write(folder.resolve("model.safetensors.index.json"), index);
    }

    private static String name(DType dtype) {
        return switch (dtype) {
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            case I32, I64, U8 -> throw new IllegalArgumentException("weights in " + dtype + "; expected one of "
                    + List.of(DType.F32, DType.F16, DType.BF16));
        };
    }

    private static void write(Path file, ObjectNode json) throws IOException {
        try {
            AtomicFile.write(file, JsonObject.MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(json) + "\n");
        } catch (JsonProcessingException e) {
            throw JsonObject.malformed(file, "JSON", e);
        }
    }
}
