package io.github.nf4j.io;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/// Writes the `tokenizer.json` that a GGUF file's byte-level BPE vocabulary came from.
///
/// The pre-tokenizers are those of the models' own `tokenizer.json`, chosen by `tokenizer.ggml.pre`.
final class GgufTokenizer {
    /// Values of `tokenizer.ggml.token_type`.
    private static final long CONTROL = 3;
    private static final long USER_DEFINED = 4;

    /// GPT-4's split, with up to three digits in a piece (Llama 3) or one (Qwen 2).
    private static final String SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}%s"
            + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

    private final Path file;
    private final GgufMetadata metadata;
    private final String pre;

    private GgufTokenizer(Path file, GgufMetadata metadata) {
        this.file = file;
        this.metadata = metadata;
        String model = metadata.string("tokenizer.ggml.model");
        if (!model.equals("gpt2")) {
            throw metadata.problem("tokenizer.ggml.model", "'" + model + "' "
                    + (model.equals("llama") ? "(SentencePiece) " : "")
                    + "is not supported; nf4j reads gpt2 (byte-level BPE)");
        }
        this.pre = metadata.string("tokenizer.ggml.pre", "default");
    }

    static Tokenizer open(Path file) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            GgufMetadata metadata = Gguf.open(file, arena).metadata();
            TokenizerJson json = json(file, metadata);
            Set<Integer> eosIds = new LinkedHashSet<>();
            for (String key : List.of("eos_token_id", "eot_token_id")) {
                id(metadata, key, json).ifPresent(eosIds::add);
            }
            return Tokenizer.of(json, List.copyOf(eosIds), id(metadata, "padding_token_id", json));
        }
    }

    /// The `tokenizer.json` of a GGUF file.
    static TokenizerJson json(Path file, GgufMetadata metadata) {
        return new GgufTokenizer(file, metadata).json();
    }

    private static OptionalInt id(GgufMetadata metadata, String key, TokenizerJson json) {
        String full = "tokenizer.ggml." + key;
        return metadata.has(full) ? OptionalInt.of(metadata.integer(full, 0, json.vocabularySize() - 1))
                : OptionalInt.empty();
    }

    private TokenizerJson json() {
        List<String> tokens = metadata.strings("tokenizer.ggml.tokens");
        List<Long> types = metadata.integers("tokenizer.ggml.token_type");
        if (types.size() != tokens.size()) {
            throw metadata.problem("tokenizer.ggml.token_type", types.size() + " entries for " + tokens.size()
                    + " tokens");
        }
        ObjectNode root = JSON.objectNode();
        root.put("version", "1.0");
        ObjectNode vocabulary = JSON.objectNode();
        ArrayNode added = root.putArray("added_tokens");
        for (int id = 0; id < tokens.size(); id++) {
            if (vocabulary.has(tokens.get(id))) {
                throw metadata.problem("tokenizer.ggml.tokens", "'" + tokens.get(id) + "' is there twice");
            }
            vocabulary.put(tokens.get(id), id);
            if (types.get(id) == CONTROL || types.get(id) == USER_DEFINED) {
                added.addObject().put("id", id).put("content", tokens.get(id)).put("single_word", false)
                        .put("lstrip", false)
                        .put("rstrip", false).put("normalized", false).put("special", types.get(id) == CONTROL);
            }
        }
        root.set("normalizer", pre.equals("qwen2") ? JSON.objectNode().put("type", "NFC") : JSON.nullNode());
        root.set("pre_tokenizer", preTokenizer());
        root.set("post_processor", postProcessor(tokens));
        root.set("decoder", byteLevel(true));
        ObjectNode model = root.putObject("model");
        model.put("type", "BPE").put("fuse_unk", false).put("byte_fallback", false)
                .put("ignore_merges", pre.equals("llama-bpe"));
        model.set("vocab", vocabulary);
        model.set("merges", merges());
        return TokenizerJson.of(new JsonObject(file, "tokenizer.", root));
    }

    private ArrayNode merges() {
        ArrayNode merges = JSON.arrayNode();
        for (String merge : metadata.strings("tokenizer.ggml.merges")) {
            int space = merge.indexOf(' ', 1);
            if (space < 0 || space == merge.length() - 1) {
                throw metadata.problem("tokenizer.ggml.merges", "expected 'a b', found '" + merge + "'");
            }
            merges.addArray().add(merge.substring(0, space)).add(merge.substring(space + 1));
        }
        return merges;
    }

    private ObjectNode preTokenizer() {
        return switch (pre) {
            case "gpt-2", "default" -> byteLevel(true);
            case "smollm" ->
                sequence(JSON.objectNode().put("type", "Digits").put("individual_digits", true), byteLevel(true));
            case "llama-bpe" -> sequence(split(SPLIT.formatted("{1,3}")), byteLevel(false));
            case "qwen2" -> sequence(split(SPLIT.formatted("")), byteLevel(false));
            default -> throw metadata.problem("tokenizer.ggml.pre", "'" + pre
                    + "' is not supported; nf4j knows smollm, llama-bpe, qwen2 and gpt-2");
        };
    }

    private static ObjectNode sequence(ObjectNode first, ObjectNode second) {
        ObjectNode sequence = JSON.objectNode().put("type", "Sequence");
        sequence.putArray("pretokenizers").add(first).add(second);
        return sequence;
    }

    private static ObjectNode split(String regex) {
        ObjectNode split = JSON.objectNode().put("type", "Split").put("behavior", "Isolated").put("invert", false);
        split.putObject("pattern").put("Regex", regex);
        return split;
    }

    private static ObjectNode byteLevel(boolean gpt2Split) {
        return JSON.objectNode().put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true)
                .put("use_regex", gpt2Split);
    }

    /// Puts BOS before a text if the model wants it; llama.cpp assumes so for Llama 3 where the file says nothing.
    private ObjectNode postProcessor(List<String> tokens) {
        if (!metadata.bool("tokenizer.ggml.add_bos_token", pre.equals("llama-bpe"))) {
            return byteLevel(true);
        }
        int id = metadata.integer("tokenizer.ggml.bos_token_id", 0, tokens.size() - 1);
        String bos = tokens.get(id);
        ObjectNode template = JSON.objectNode().put("type", "TemplateProcessing");
        ArrayNode single = template.putArray("single");
        single.addObject().putObject("SpecialToken").put("id", bos).put("type_id", 0);
        single.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        template.set("pair", single.deepCopy().add(JSON.objectNode().set("Sequence",
                JSON.objectNode().put("id", "B").put("type_id", 1))));
        ObjectNode special = template.putObject("special_tokens").putObject(bos).put("id", bos);
        special.putArray("ids").add(id);
        special.putArray("tokens").add(bos);
        return template;
    }
}
