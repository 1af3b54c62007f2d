package io.github.nf4j;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// A file under `src/test/resources/fixtures`, read without the code under test. Segments are off-heap and aligned.
public final class FixtureFile {
    private final JsonNode header;
    private final byte[] bytes;
    private final int begin;

    private FixtureFile(JsonNode header, byte[] bytes, int begin) {
        this.header = header;
        this.bytes = bytes;
        this.begin = begin;
    }

    public static JsonNode json(String path) {
        try {
            return new ObjectMapper().readTree(read(path));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static FixtureFile safetensors(String path) {
        byte[] bytes = read(path);
        int length = Math.toIntExact(MemorySegment.ofArray(bytes).get(ValueLayout.JAVA_LONG_UNALIGNED, 0));
        try {
            return new FixtureFile(new ObjectMapper().readTree(bytes, Long.BYTES, length), bytes, Long.BYTES + length);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// Of its tensors.
    public List<String> names() {
        List<String> names = new ArrayList<>();
        header.fieldNames().forEachRemaining(names::add);
        names.remove("__metadata__");
        return names;
    }

    public byte[] bytes(String name) {
        JsonNode offsets = entry(name).get("data_offsets");
        return Arrays.copyOfRange(bytes, begin + offsets.get(0).asInt(), begin + offsets.get(1).asInt());
    }

    public MemorySegment segment(String name, Arena arena) {
        byte[] content = bytes(name);
        MemorySegment segment = arena.allocate(content.length, 64);
        MemorySegment.copy(content, 0, segment, ValueLayout.JAVA_BYTE, 0, content.length);
        return segment;
    }

    /// A tensor [product of the leading dimensions, last dimension].
    public Tensor tensor(String name, Arena arena) {
        JsonNode shape = entry(name).get("shape");
        long rows = 1;
        for (int i = 0; i < shape.size() - 1; i++) {
            rows *= shape.get(i).asLong();
        }
        DType dtype = DType.valueOf(entry(name).get("dtype").asText());
        return Tensor.ofHost(segment(name, arena), dtype, rows, shape.get(shape.size() - 1).asLong());
    }

    /// A tensor of type F64.
    public double[] doubles(String name) {
        return MemorySegment.ofArray(bytes(name)).toArray(ValueLayout.JAVA_DOUBLE_UNALIGNED);
    }

    private JsonNode entry(String name) {
        JsonNode entry = header.get(name);
        if (entry == null) {
            throw new IllegalArgumentException("no tensor " + name + " in the fixture");
        }
        return entry;
    }

    private static byte[] read(String path) {
        try (InputStream stream = FixtureFile.class.getResourceAsStream("/fixtures/" + path)) {
            if (stream == null) {
                throw new IllegalArgumentException("no fixture " + path);
            }
            return stream.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
