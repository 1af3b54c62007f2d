package io.github.nf4j.io;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A JSON object in a file, read field by field with messages that name file and field.
///
/// `null` counts as absent everywhere: that is how Hugging Face's libraries write "not set".
///
/// @param file  the file it was read from
/// @param place where in the file it stands, as a prefix for field names: empty for the root, else `rope_scaling.`
/// @param node  the object
record JsonObject(Path file, String place, ObjectNode node) {
    private static final long MAX_FILE_BYTES = 256L << 20;

    /// Refuses what JSON leaves open and what is only meant to hurt: duplicate keys, text after the value, deep
    /// nesting.
    static final JsonMapper MAPPER = JsonMapper.builder(JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(64)
                    .maxStringLength(Integer.MAX_VALUE).build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
            .build();

    /// Reads a file whose root is an object.
    static JsonObject read(Path file) throws IOException {
        MappedFile.requireFile(file);
        if (Files.size(file) > MAX_FILE_BYTES) {
            throw new FileFormatException(file, "size", Files.size(file) + " bytes; JSON files of more than "
                    + MAX_FILE_BYTES + " are refused");
        }
        return parse(file, "JSON", decodeUtf8(file, "JSON", ByteBuffer.wrap(Files.readAllBytes(file))));
    }

    /// Parses JSON text that stands at `where` in a file.
    static JsonObject parse(Path file, String where, String text) {
        try {
            if (MAPPER.readTree(text) instanceof ObjectNode object) {
                return new JsonObject(file, "", object);
            }
        } catch (JsonProcessingException e) {
            throw malformed(file, where, e);
        }
        throw new FileFormatException(file, where, "expected a JSON object");
    }

    static FileFormatException malformed(Path file, String where, JsonProcessingException e) {
        String at = e.getLocation() == null ? "" : " (line " + e.getLocation().getLineNr() + ", column "
                + e.getLocation().getColumnNr() + ")";
        return new FileFormatException(file, where, "malformed: " + e.getOriginalMessage() + at, e);
    }

    /// Strict: a byte sequence that is not UTF-8 is refused, where a String constructor would replace it.
    static String decodeUtf8(Path file, String where, ByteBuffer bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException e) {
            throw new FileFormatException(file, where, "not valid UTF-8", e);
        }
    }

    boolean has(String field) {
        return node.hasNonNull(field);
    }

    JsonNode get(String field) {
        return node.get(field);
    }

    FileFormatException problem(String field, String problem) {
        return new FileFormatException(file, place + field, problem);
    }

    private FileFormatException wrong(String field, String expected) {
        return problem(field, "expected " + expected + ", found " + node.get(field));
    }

    private JsonNode required(String field, String expected) {
        if (!has(field)) {
            throw problem(field, "missing; expected " + expected);
        }
        return node.get(field);
    }

    String string(String field) {
        JsonNode value = required(field, "a string");
        if (!value.isTextual()) {
            throw wrong(field, "a string");
        }
        return value.textValue();
    }

    String string(String field, String absent) {
        return has(field) ? string(field) : absent;
    }

    boolean bool(String field, boolean absent) {
        if (!has(field)) {
            return absent;
        }
        if (!node.get(field).isBoolean()) {
            throw wrong(field, "true or false");
        }
        return node.get(field).booleanValue();
    }

    /// A finite number.
    double number(String field) {
        JsonNode value = required(field, "a number");
        if (!value.isNumber() || !Double.isFinite(value.doubleValue())) {
            throw wrong(field, "a finite number");
        }
        return value.doubleValue();
    }

    double number(String field, double absent) {
        return has(field) ? number(field) : absent;
    }

    /// A number greater than zero.
    double positive(String field) {
        double value = number(field);
        if (!(value > 0)) {
            throw wrong(field, "a number greater than 0");
        }
        return value;
    }

    double positive(String field, double absent) {
        return has(field) ? positive(field) : absent;
    }

    /// An integer in `[low, high]`.
    int integer(String field, int low, int high) {
        JsonNode value = required(field, "an integer");
        if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < low
                || value.intValue() > high) {
            throw wrong(field, "an integer from " + low + " to " + high);
        }
        return value.intValue();
    }

    int integer(String field, int low, int high, int absent) {
        return has(field) ? integer(field, low, high) : absent;
    }

    /// The strings of a list.
    List<String> strings(String field) {
        JsonNode value = required(field, "a list of strings");
        List<String> strings = new ArrayList<>();
        for (JsonNode element : value) {
            if (!element.isTextual()) {
                throw wrong(field, "a list of strings");
            }
            strings.add(element.textValue());
        }
        if (!value.isArray()) {
            throw wrong(field, "a list of strings");
        }
        return List.copyOf(strings);
    }

    /// One integer, or a list of them, in `[0, high]`; empty if absent.
    List<Integer> integers(String field, int high) {
        if (!has(field)) {
            return List.of();
        }
        JsonNode value = node.get(field);
        List<Integer> integers = new ArrayList<>();
        for (JsonNode element : value.isArray() ? value : List.of(value)) {
            if (!element.isIntegralNumber() || !element.canConvertToInt() || element.intValue() < 0
                    || element.intValue() > high) {
                throw wrong(field, "an integer or a list of integers from 0 to " + high);
            }
            integers.add(element.intValue());
        }
        return List.copyOf(integers);
    }

    /// An object inside this one.
    JsonObject object(String field) {
        if (required(field, "an object") instanceof ObjectNode object) {
            return new JsonObject(file, place + field + ".", object);
        }
        throw wrong(field, "an object");
    }
}
