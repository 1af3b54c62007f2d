package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ModelFilesTest {
    private static final String QUERY = "model.layers.0.self_attn.q_proj.weight";

    @TempDir
    Path folder;

    private Arena arena;

    @BeforeEach
    void newArena() {
        arena = Arena.ofAuto();
    }

    @ParameterizedTest
    @CsvSource({"models/llama-tied, BF16", "models/llama-sharded, F32", "models/qwen2, F16",
            "models/mistral-window, BF16"})
    void readsEveryFixture(String name, DType type) throws IOException {
        ModelFiles model = ModelFiles.open(Fixtures.path(name), arena);
        model.validate();
        assertEquals(type, model.storedType(QUERY));
        assertEquals(type, model.config().dtype());
        assertArrayEquals(new long[] {model.config().querySize(), 64}, model.shape(QUERY));
        RawTensor raw = model.raw(QUERY).orElseThrow();
        float[] decoded = Fixtures.read(model, QUERY);
        for (int i = 0; i < decoded.length; i++) {
            short bits = type == DType.F32 ? 0 : raw.data().get(ValueLayout.JAVA_SHORT_UNALIGNED, 2L * i);
            float expected = switch (type) {
                case BF16 -> Float.intBitsToFloat(bits << 16);
                case F16 -> Float.float16ToFloat(bits);
                default -> raw.data().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i);
            };
            assertEquals(expected, decoded[i]);
        }
        MemorySegment rows = arena.allocate(ValueLayout.JAVA_FLOAT, 2 * 64);
        model.readF32Rows(QUERY, 5, 2, rows);
        assertArrayEquals(Arrays.copyOfRange(decoded, 5 * 64, 7 * 64), rows.toArray(ValueLayout.JAVA_FLOAT));
        assertThrows(IndexOutOfBoundsException.class, () -> model.readF32Rows(QUERY, model.config().querySize() - 1, 2, rows));
        assertThrows(IndexOutOfBoundsException.class, () -> model.readF32Rows(QUERY, 0, 3, rows));
        assertFalse(model.has("model.layers.9.mlp.up_proj.weight"));
        assertTrue(assertThrows(FileFormatException.class, () -> model.shape("nothing")).getMessage()
                .contains("'nothing'"));
    }

    @Test
    void namesWhatIsNotThere() {
        Path absent = folder.resolve("absent");
        assertTrue(assertThrows(NoSuchFileException.class, () -> ModelFiles.open(absent, arena)).getMessage()
                .contains("no such model"));
        assertTrue(assertThrows(NoSuchFileException.class, () -> ModelFiles.open(folder, arena)).getMessage()
                .contains("config.json"));
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void refusesValuesThatAreNotFinite(float value) throws IOException {
        RawTensor norm = new RawTensor("model.norm.weight", DType.F32, new long[] {64},
                Fixtures.segment(new float[64]));
        norm.data().setAtIndex(ValueLayout.JAVA_FLOAT, 41, value);
        ModelFiles model = changed("models/llama-tied", norm);
        MemorySegment dst = arena.allocate(ValueLayout.JAVA_FLOAT, 64);
        String message = assertThrows(FileFormatException.class, () -> model.readF32Rows(norm.name(), 0, 1, dst))
                .getMessage();
        assertTrue(message.contains("'model.norm.weight'") && message.contains("element 41"), message);
    }

    @Test
    void refusesShapesThatContradictTheConfiguration() throws IOException {
        RawTensor norm = new RawTensor("model.norm.weight", DType.F32, new long[] {32},
                Fixtures.segment(new float[32]));
        String message = assertThrows(FileFormatException.class, changed("models/llama-tied", norm)::validate)
                .getMessage();
        assertTrue(message.contains("'model.norm.weight'") && message.contains("[32]") && message.contains("[64]"),
                message);
    }

    @Test
    void refusesModelsWithoutAllTheirWeights() throws IOException {
        copy("models/llama-sharded", "config.json");
        Path weights = folder.resolve("model.safetensors");
        Safetensors.write(weights, List.of(new RawTensor("model.embed_tokens.weight", DType.F32, new long[] {384, 64},
                Fixtures.segment(new float[384 * 64]))), Map.of());
        ModelFiles model = ModelFiles.open(folder, arena);
        String message = assertThrows(FileFormatException.class, model::validate).getMessage();
        assertTrue(message.contains("model.layers.0.input_layernorm.weight") && message.contains("missing"), message);
    }

    @Test
    void refusesIntegerWeights() throws IOException {
        RawTensor norm = new RawTensor("model.norm.weight", DType.I32, new long[] {64},
                Fixtures.segment(new float[64]));
        ModelFiles model = changed("models/llama-tied", norm);
        MemorySegment dst = arena.allocate(ValueLayout.JAVA_FLOAT, 64);
        assertTrue(assertThrows(FileFormatException.class, () -> model.readF32Rows(norm.name(), 0, 1, dst)).getMessage()
                .contains("I32"));
        assertTrue(model.raw(norm.name()).isEmpty());
    }

    /// Index files that lie about where tensors are. One entry is replaced.
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "'model.norm.weight':'model-00009-of-00004.safetensors'  | model-00009-of-00004.safetensors is missing",
            "'model.norm.weight':'../model-00004-of-00004.safetensors' | not the name of a file in this folder",
            "'model.norm.weight':'/etc/passwd'                       | not the name of a file in this folder",
            "'model.norm.weight':'sub\\\\..'                         | not the name of a file in this folder",
            "'model.norm.weight':'..'                                | not the name of a file in this folder",
            "'model.norm.weight':'.'                                 | not the name of a file in this folder",
            "'model.norm.weight':''                                  | not the name of a file in this folder",
            "'model.norm.weight':'\\ud800'                            | not the name of a file in this folder",
            "'model.norm.weight':'\\u0000'                            | not the name of a file in this folder",
            "'model.norm.weight':'folder'                            | the shard folder is missing",
            "'model.norm.weight':null                                | missing",
            "'model.norm.weight':'model-00001-of-00004.safetensors'  | is not in model-00001",
            "'model.norm.other':'model-00004-of-00004.safetensors'   | is not in model-00004",
            "'model.norm.weight':7                                   | expected a string",
            "'lm_head.weight':'model-00004-of-00004.safetensors'     | Duplicate"})
    void refusesIndexesThatLie(String lie, String expected) throws IOException {
        copyAll("models/llama-sharded");
        Files.createDirectory(folder.resolve("folder"));
        Path index = folder.resolve("model.safetensors.index.json");
        String entry = "\"model.norm.weight\": \"model-00004-of-00004.safetensors\"";
        String text = Files.readString(index);
        assertTrue(text.contains(entry));
        Files.writeString(index, text.replace(entry, lie.replace('\'', '"')));
        Refusal.expect(index, expected, () -> ModelFiles.open(folder, arena));
    }

    @Test
    void refusesTensorsThatTheIndexDoesNotList() throws IOException {
        copyAll("models/llama-sharded");
        Path index = folder.resolve("model.safetensors.index.json");
        Files.writeString(index, Files.readString(index)
                .replaceAll("\"model.layers.1.input_layernorm.weight\": \"[^\"]*\",", ""));
        String message = assertThrows(FileFormatException.class, () -> ModelFiles.open(folder, arena)).getMessage();
        assertTrue(message.contains("model.layers.1.input_layernorm.weight") && message.contains("does not list"),
                message);
    }

    @Test
    void refusesATensorInTwoShards() throws IOException {
        copyAll("models/llama-sharded");
        Path first = folder.resolve("model-00001-of-00004.safetensors");
        List<RawTensor> tensors = new ArrayList<>();
        for (String shard : List.of("model-00001-of-00004.safetensors", "model-00004-of-00004.safetensors")) {
            Safetensors file = Safetensors.open(Fixtures.path("models/llama-sharded").resolve(shard), arena);
            file.names().stream().filter(name -> shard.contains("00001") || name.equals("model.norm.weight")).map(file::tensor)
                    .forEach(tensors::add);
        }
        Safetensors.write(first, tensors, Map.of());
        Refusal.expect(first, "tensor 'model.norm.weight': the index does not list it here", () -> ModelFiles.open(folder, arena));
    }

    /// The index lists a shard twice, under its name and under that of a link to it.
    @Test
    void refusesOneShardUnderTwoNames() throws IOException {
        copyAll("models/llama-sharded");
        Files.createSymbolicLink(folder.resolve("again.safetensors"), Path.of("model-00004-of-00004.safetensors"));
        Path index = folder.resolve("model.safetensors.index.json");
        Files.writeString(index, Files.readString(index).replace("\"model.norm.weight\": \"model-00004-of-00004.safetensors\"",
                "\"model.norm.weight\": \"again.safetensors\""));
        String message = assertThrows(FileFormatException.class, () -> ModelFiles.open(folder, arena)).getMessage();
        assertTrue(message.contains("the index does not list it here"), message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`',
            value = {"{}|weight_map: missing", "{'weight_map': []}|weight_map: expected an object",
                    "{'weight_map': {'x': 'y'}|malformed", "[]|expected a JSON object"})
    void refusesIndexesThatAreNone(String json, String expected) throws IOException {
        copy("models/llama-sharded", "config.json");
        Path index = Files.writeString(folder.resolve("model.safetensors.index.json"), json.replace('\'', '"'));
        Refusal.expect(index, expected, () -> ModelFiles.open(folder, arena));
    }

    /// A fixture with one tensor replaced or added.
    private ModelFiles changed(String fixture, RawTensor replacement) throws IOException {
        copy(fixture, "config.json");
        Safetensors file = Safetensors.open(Fixtures.path(fixture).resolve("model.safetensors"), arena);
        List<RawTensor> tensors = new ArrayList<>(file.names().stream().filter(n -> !n.equals(replacement.name()))
                .map(file::tensor).toList());
        tensors.add(replacement);
        Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of());
        return ModelFiles.open(folder, arena);
    }

    private void copy(String fixture, String file) throws IOException {
        Files.copy(Fixtures.path(fixture).resolve(file), folder.resolve(file));
    }

    private void copyAll(String fixture) throws IOException {
        for (String file : Fixtures.path(fixture).toFile().list()) {
            copy(fixture, file);
        }
    }
}
