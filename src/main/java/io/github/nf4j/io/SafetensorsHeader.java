package io.github.nf4j.io;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import io.github.nf4j.DType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The JSON header of a safetensors file: what it says, and whether it can be true.
///
/// @param entries  the tensors in the order of the header
/// @param metadata the free-form strings under `__metadata__`
record SafetensorsHeader(Map<String, Entry> entries, Map<String, String> metadata) {
    /// The reference implementation's limit.
    static final long MAX_BYTES = 100_000_000;
    static final String METADATA_KEY = "__metadata__";
    static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /// Far above any real file (a shard of the largest models has some thousands of tensors), far below what stalls a
    /// reader.
    private static final int MAX_TENSORS = 100_000;
    private static final int MAX_RANK = 64;

    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(4).build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build();

    /// Element types of the format, in the order of the reference implementation: by alignment, then by age. The writer
    /// sorts by it. Types with no [DType] can be in a file, and be skipped, but not be read.
    enum Type {
        BOOL(8), F4(4), F6_E2M3(6), F6_E3M2(6), U8(8, DType.U8), I8(8), F8_E5M2(8), F8_E4M3(8), F8_E8M0(8),
        F8_E4M3FNUZ(8), F8_E5M2FNUZ(8), I16(16), U16(16), F16(16, DType.F16), BF16(16, DType.BF16),
        I32(32, DType.I32), U32(32), F32(32, DType.F32), C64(64), F64(64), I64(64, DType.I64), U64(64);

        private final int bits;
        private final DType dtype;

        Type(int bits) {
            this(bits, null);
        }

        Type(int bits, DType dtype) {
            this.bits = bits;
            this.dtype = dtype;
        }

        int bits() {
            return bits;
        }

        /// The library's type, or null if it has none.
        DType dtype() {
            return dtype;
        }

        static Type of(DType dtype) {
            return valueOf(dtype.name());
        }
    }

    /// One tensor: bytes `begin` to `end` of the data.
    record Entry(Type type, long[] shape, long begin, long end) {
    }

    /// Parses and checks every entry by itself.
    static SafetensorsHeader parse(Path file, String text) {
        if (!text.startsWith("{")) {
            throw new FileFormatException(file, "header", "does not begin with '{' (is this a safetensors file?)");
        }
        try (JsonParser parser = JSON.createParser(text)) {
            Parser reader = new Parser(file, parser);
            SafetensorsHeader header = reader.header();
            long end = parser.currentLocation().getCharOffset();
            if (!text.substring((int) end).chars().allMatch(c -> c == ' ')) {
                throw new FileFormatException(file, "header", "something other than padding follows the JSON object");
            }
            return header;
        } catch (JsonProcessingException e) {
            throw JsonObject.malformed(file, "header", e);
        } catch (IOException e) {
            throw new AssertionError("reading a string does no I/O", e);
        }
    }

    /// Checks that the tensors cover the data exactly, in any order.
    void checkCoverage(Path file, long dataBytes) {
        List<Map.Entry<String, Entry>> byOffset = new ArrayList<>(entries.entrySet());
        byOffset.sort(Comparator.comparingLong((Map.Entry<String, Entry> e) -> e.getValue().begin())
                .thenComparingLong(e -> e.getValue().end()));
        long covered = 0;
        for (Map.Entry<String, Entry> named : byOffset) {
            Entry entry = named.getValue();
            String place = "tensor '" + named.getKey() + "'";
            if (entry.end() > dataBytes) {
                throw new FileFormatException(file, place, "data_offsets end at " + entry.end() + ", but the file has "
                        + dataBytes + " bytes of data (truncated?)");
            }
            if (entry.begin() != covered) {
                throw new FileFormatException(file, place, "data_offsets begin at " + entry.begin() + ", "
                        + (entry.begin() < covered ? "inside" : "behind a hole after")
                        + " the tensor before, which ends at " + covered);
            }
            covered = entry.end();
        }
        if (covered != dataBytes) {
            throw new FileFormatException(file, "data", "the tensors cover " + covered + " bytes of " + dataBytes);
        }
    }

    /// The header as it is written, padded with spaces to a multiple of 8 bytes.
    byte[] toBytes() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            json.writeStartObject();
            json.writeObjectFieldStart(METADATA_KEY);
            for (Map.Entry<String, String> string : metadata.entrySet()) {
                json.writeStringField(string.getKey(), string.getValue());
            }
            json.writeEndObject();
            for (Map.Entry<String, Entry> named : entries.entrySet()) {
                Entry entry = named.getValue();
                json.writeObjectFieldStart(named.getKey());
                json.writeStringField("dtype", entry.type().name());
                json.writeFieldName("shape");
                json.writeArray(entry.shape(), 0, entry.shape().length);
                json.writeFieldName("data_offsets");
                json.writeArray(new long[] {entry.begin(), entry.end()}, 0, 2);
                json.writeEndObject();
            }
            json.writeEndObject();
        }
        while (bytes.size() % 8 != 0) {
            bytes.write(' ');
        }
        return bytes.toByteArray();
    }

    /// One pass over the tokens: a hostile header never becomes a tree in memory.
    private record Parser(Path file, JsonParser json) {
        SafetensorsHeader header() throws IOException {
            Map<String, Entry> entries = new LinkedHashMap<>();
            Map<String, String> metadata = new LinkedHashMap<>();
            json.nextToken();
            while (json.nextToken() != JsonToken.END_OBJECT) {
                String name = json.currentName();
                if (name.equals(METADATA_KEY)) {
                    readMetadata(metadata);
                } else {
                    entries.put(name, readEntry(name));
                }
                if (entries.size() > MAX_TENSORS) {
                    throw new FileFormatException(file, "header", "more than " + MAX_TENSORS + " tensors");
                }
            }
            return new SafetensorsHeader(entries, metadata);
        }

        private void readMetadata(Map<String, String> metadata) throws IOException {
            expect(JsonToken.START_OBJECT, METADATA_KEY, "an object of strings");
            while (json.nextToken() != JsonToken.END_OBJECT) {
                String key = json.currentName();
                expect(JsonToken.VALUE_STRING, METADATA_KEY + "." + key, "a string");
                metadata.put(key, json.getText());
            }
        }

        private Entry readEntry(String name) throws IOException {
            String place = "tensor '" + name + "'";
            expect(JsonToken.START_OBJECT, place, "an object");
            Type type = null;
            long[] shape = null;
            long[] offsets = null;
            while (json.nextToken() != JsonToken.END_OBJECT) {
                switch (json.currentName()) {
                    case "dtype" -> type = readType(place);
                    case "shape" -> shape = readSizes(place + " shape", MAX_RANK);
                    case "data_offsets" -> offsets = readSizes(place + " data_offsets", 2);
                    default -> throw new FileFormatException(file, place, "unknown field '" + json.currentName() + "'");
                }
            }
            if (type == null || shape == null || offsets == null || offsets.length != 2) {
                throw new FileFormatException(file, place, "needs dtype, shape and two data_offsets");
            }
            return checked(place, type, shape, offsets[0], offsets[1]);
        }

        private Entry checked(String place, Type type, long[] shape, long begin, long end) {
            if (begin > end) {
                throw new FileFormatException(file, place, "data_offsets [" + begin + ", " + end + "] run backwards");
            }
            long bits;
            try {
                bits = Math.multiplyExact(Shapes.elements(shape), type.bits());
            } catch (ArithmeticException e) {
                throw new FileFormatException(file, place, "the size of shape " + Shapes.text(shape) + " overflows", e);
            }
            if (bits % 8 != 0 || end - begin != bits / 8) {
                throw new FileFormatException(file, place, "data_offsets [" + begin + ", " + end + "] hold "
                        + (end - begin) + " bytes, " + type + " " + Shapes.text(shape) + " has " + bits + " bits");
            }
            return new Entry(type, shape, begin, end);
        }

        private Type readType(String place) throws IOException {
            expect(JsonToken.VALUE_STRING, place + " dtype", "a string");
            try {
                return Type.valueOf(json.getText());
            } catch (IllegalArgumentException e) {
                throw new FileFormatException(file, place, "unknown dtype '" + json.getText() + "'", e);
            }
        }

        private long[] readSizes(String place, int limit) throws IOException {
            expect(JsonToken.START_ARRAY, place, "a list of integers");
            long[] sizes = new long[limit];
            int count = 0;
            while (json.nextToken() != JsonToken.END_ARRAY) {
                if (json.currentToken() != JsonToken.VALUE_NUMBER_INT || count == limit) {
                    throw new FileFormatException(file, place, "expected a list of at most " + limit + " integers");
                }
                long size = json.getLongValue();
                if (size < 0) {
                    throw new FileFormatException(file, place, "negative number " + size);
                }
                sizes[count++] = size;
            }
            return Arrays.copyOf(sizes, count);
        }

        private void expect(JsonToken token, String place, String expected) throws IOException {
            if (json.nextToken() != token) {
                throw new FileFormatException(file, place, "expected " + expected + ", found " + json.getText());
            }
        }
    }
}
