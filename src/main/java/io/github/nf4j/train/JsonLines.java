package io.github.nf4j.train;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.io.FileFormatException;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/// Reads a JSONL file line by line: one JSON object each, blank lines skipped.
final class JsonLines {
    /// Refuses what JSON leaves open: duplicate keys, text behind the object.
    static final JsonMapper MAPPER = JsonMapper.builder(JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(64)
                    .maxStringLength(Integer.MAX_VALUE).build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private JsonLines() {
    }

    /// Converts every object of the file, in order. An [IllegalArgumentException] of the conversion becomes a
    /// [FileFormatException] that names file and line.
    static <T> List<T> read(Path file, Function<ObjectNode, T> conversion) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file.toString(), null, "no such data file");
        }
        if (!Files.isRegularFile(file)) {
            throw new FileFormatException(file, "path", "not a file");
        }
        List<T> objects = new ArrayList<>();
        int line = 1;
        // newBufferedReader decodes strictly: bytes that are not UTF-8 are an error
        try (BufferedReader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
            for (String text; (text = reader.readLine()) != null; line++) {
                if (!text.isBlank()) {
                    objects.add(conversion.apply(parse(text)));
                }
            }
        } catch (CharacterCodingException e) {
            // The reader decodes in blocks ahead of the lines, so the place is only known to be at or behind this one.
            throw new FileFormatException(file, "line " + line + " or after", "not valid UTF-8", e);
        } catch (IllegalArgumentException e) {
            throw new FileFormatException(file, "line " + line, e.getMessage(), e);
        }
        return objects;
    }

    private static ObjectNode parse(String text) throws IOException {
        try {
            if (MAPPER.readTree(text) instanceof ObjectNode object) {
                return object;
            }
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("malformed JSON: " + e.getOriginalMessage()
                    + (e.getLocation() == null ? "" : " (column " + e.getLocation().getColumnNr() + ")"), e);
        }
        throw new IllegalArgumentException("expected a JSON object");
    }
}
