package io.github.nf4j.io;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalInt;

/// A `tokenizer.json` and the vocabulary read out of it.
///
/// @param file           where it came from
/// @param text           the JSON that the tokenizer is built from
/// @param ids            id of every token
/// @param vocabularySize one more than the largest id
record TokenizerJson(Path file, String text, Map<String, Integer> ids, int vocabularySize) {
    private static final int MAX_ID = 1 << 24;

    static TokenizerJson read(Path file) throws IOException {
        return of(JsonObject.read(file));
    }

    static TokenizerJson of(JsonObject json) {
        JsonObject model = json.object("model");
        Map<String, Integer> ids = new HashMap<>();
        if (model.get("vocab") instanceof ObjectNode vocabulary) {
            JsonObject object = model.object("vocab");
            vocabulary.fieldNames().forEachRemaining(token -> ids.put(token, object.integer(token, 0, MAX_ID)));
        } else if (model.has("vocab")) { // Unigram: [text, score], the position is the id
            for (JsonNode entry : model.get("vocab")) {
                ids.put(entry.path(0).asText(), ids.size());
            }
        }
        if (json.has("added_tokens")) {
            for (JsonNode added : json.get("added_tokens")) {
                if (!(added instanceof ObjectNode object)) {
                    throw json.problem("added_tokens", "expected a list of objects");
                }
                JsonObject token = new JsonObject(json.file(), "added_tokens.", object);
                ids.put(token.string("content"), token.integer("id", 0, MAX_ID));
            }
        }
        checkMerges(model);
        int size = ids.values().stream().mapToInt(Integer::intValue).max().orElse(-1) + 1;
        return new TokenizerJson(json.file(), withoutTruncationAndPadding(json), ids, size);
    }

    /// Merges are written `"a b"`, or as pairs since tokenizers 0.20. A reader that passes over another spelling still
    /// works, with one token a byte.
    private static void checkMerges(JsonObject model) {
        if (!model.has("merges")) {
            return;
        }
        for (JsonNode merge : model.get("merges")) {
            boolean pair = merge.isArray() && merge.size() == 2 && merge.path(0).isTextual()
                    && merge.path(1).isTextual();
            if (!pair && !(merge.isTextual() && merge.textValue().indexOf(' ') > 0)) {
                throw model.problem("merges", "expected \"a b\" or [\"a\", \"b\"], found " + merge);
            }
        }
    }

    /// Settings of whoever saved the file, which transformers ignores as well.
    private static String withoutTruncationAndPadding(JsonObject json) {
        json.node().putNull("truncation").putNull("padding");
        try {
            return JsonObject.MAPPER.writeValueAsString(json.node());
        } catch (JsonProcessingException e) {
            throw JsonObject.malformed(json.file(), "JSON", e);
        }
    }

    /// Id of a token; empty if it is null or unknown.
    OptionalInt id(String token) {
        Integer id = token == null ? null : ids.get(token);
        return id == null ? OptionalInt.empty() : OptionalInt.of(id);
    }
}
