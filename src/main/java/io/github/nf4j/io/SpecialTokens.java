package io.github.nf4j.io;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The texts of a tokenizer's special tokens under transformers' names (`bos_token`, `eos_token`, `pad_token`,
/// `unk_token`); those that the tokenizer has not are absent.
record SpecialTokens(Map<String, String> texts) {
    private static final String CONFIG = "tokenizer_config.json";

    /// From `tokenizer_config.json`, where a token is a string or an object with its `content`.
    static SpecialTokens read(Path folder) throws IOException {
        Map<String, String> texts = new LinkedHashMap<>();
        Path file = FolderFiles.resolve(folder, CONFIG);
        if (Files.exists(file)) {
            JsonObject config = JsonObject.read(file);
            for (String name : List.of("bos_token", "eos_token", "pad_token", "unk_token")) {
                if (config.has(name)) {
                    JsonNode token = config.get(name);
                    texts.put(name, token.isObject() ? config.object(name).string("content") : config.string(name));
                }
            }
        }
        return new SpecialTokens(texts);
    }

    /// From a GGUF file, which has their ids.
    static SpecialTokens read(GgufMetadata metadata) {
        List<String> tokens = metadata.strings("tokenizer.ggml.tokens");
        Map<String, String> keys = Map.of("bos_token", "bos", "eos_token", "eos", "pad_token", "padding",
                "unk_token", "unknown");
        Map<String, String> texts = new LinkedHashMap<>();
        keys.forEach((name, key) -> {
            String full = "tokenizer.ggml." + key + "_token_id";
            if (metadata.has(full)) {
                texts.put(name, tokens.get(metadata.integer(full, 0, tokens.size() - 1)));
            }
        });
        return new SpecialTokens(texts);
    }
}
