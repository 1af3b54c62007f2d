package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BnbWeightTest {
    private static final String NAME = "model.layers.0.mlp.down_proj.weight";
    private static final String STATE = NAME + ".quant_state.bitsandbytes__nf4";

    @TempDir
    Path folder;

    private final Arena arena = Arena.ofAuto();

    @Test
    void readsNestedWeights() throws IOException {
        ModelFiles model = ModelFiles.open(Fixtures.path("bnb/nf4-nested"), arena);
        model.validate();
        BnbWeight weight = model.bnb(NAME).orElseThrow();
        assertArrayEquals(new long[] {64, 160}, weight.shape());
        assertArrayEquals(new long[] {64, 160}, model.shape(NAME));
        assertEquals(64, weight.blockSize());
        assertEquals(160, weight.blocks());
        assertEquals(DType.BF16, weight.dtype());
        assertEquals(64 * 160 / 2, weight.codes().byteSize());
        assertEquals(160, weight.absmax().byteSize());
        BnbWeight.Nested nested = weight.nested().orElseThrow();
        assertEquals(256, nested.blockSize());
        assertEquals(0.20673827826976776f, nested.offset());
        assertEquals(4, nested.absmax().byteSize());
        assertEquals(1024, nested.map().byteSize());
        assertTrue(model.bnb("model.norm.weight").isEmpty());
    }

    /// The formula of the class, applied here, gives back the matrix that was packed: the same model's plain
    /// checkpoint, up to half a step of the code.
    @ParameterizedTest
    @CsvSource({"bnb/nf4-nested, models/llama-tied", "bnb/nf4-plain, models/llama-sharded"})
    void itsPartsDescribeTheMatrix(String packed, String original) throws IOException {
        ModelFiles model = ModelFiles.open(Fixtures.path(packed), arena);
        float[] exact = Fixtures.read(ModelFiles.open(Fixtures.path(original), arena), NAME);
        BnbWeight weight = model.bnb(NAME).orElseThrow();
        for (int i = 0; i < exact.length; i++) {
            float scale = scale(weight, i / weight.blockSize());
            int pair = Byte.toUnsignedInt(weight.codes().get(ValueLayout.JAVA_BYTE, i / 2));
            float code = f32(weight.quantMap(), i % 2 == 0 ? pair >>> 4 : pair & 15);
            assertEquals(exact[i], code * scale, 0.16f * scale, "element " + i);
        }
    }

    private static float scale(BnbWeight weight, int block) {
        return weight.nested()
                .map(nested -> f32(nested.map(), Byte.toUnsignedInt(weight.absmax().get(ValueLayout.JAVA_BYTE, block)))
                        * f32(nested.absmax(), block / nested.blockSize()) + nested.offset())
                .orElseGet(() -> f32(weight.absmax(), block));
    }

    private static float f32(MemorySegment floats, int index) {
        return floats.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * index);
    }

    @Test
    void isNotDecodedAsBytes() throws IOException {
        ModelFiles model = ModelFiles.open(Fixtures.path("bnb/nf4-plain"), arena);
        assertEquals(DType.U8, model.storedType(NAME));
        assertTrue(model.raw(NAME).isEmpty());
        MemorySegment dst = arena.allocate(ValueLayout.JAVA_FLOAT, 64 * 160);
        assertThrows(IllegalArgumentException.class, () -> model.readF32Rows(NAME, 0, 64, dst));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "\"nf4\"            | \"fp4\"         | quant_type",
            "\"blocksize\": 64  | \"blocksize\": 0 | blocksize",
            "\"blocksize\": 64  | \"blocksize\": 32 | .absmax",
            "[64, 160]          | [64, 161]       | 5152",
            "[64, 160]          | [64, -160]      | shape",
            "[64, 160]          | [64]            | shape",
            "\"nested_blocksize\": 256 | \"nested_blocksize\": 64 | nested_absmax",
            "\"nested_blocksize\"      | \"nested_other\"         | .absmax",
            "\"nested_offset\"         | \"nested_other\"         | nested_offset",
            "\"float32\"               | \"float16\"              | nested_dtype",
            "\"bfloat16\"              | \"int8\"                 | dtype",
            "{                         | [                        | malformed"})
    void refusesStatesThatContradictTheTensors(String from, String to, String expected) throws IOException {
        String message = assertThrows(FileFormatException.class, () -> withState(s -> s.replace(from, to)).bnb(NAME))
                .getMessage();
        assertTrue(message.contains(expected) && message.contains("model.safetensors"), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {".quant_map", ".nested_quant_map", ".nested_absmax", ".absmax",
            ".quant_state.bitsandbytes__nf4"})
    void namesPartsThatAreMissing(String part) throws IOException {
        ModelFiles model = without(NAME + part);
        assertTrue(assertThrows(FileFormatException.class, () -> model.bnb(NAME)).getMessage().contains(NAME + part));
    }

    private ModelFiles withState(UnaryOperator<String> change) throws IOException {
        Safetensors file = source();
        String state = new String(file.tensor(STATE).data().toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
        byte[] changed = change.apply(state).getBytes(StandardCharsets.UTF_8);
        return written(file, STATE, List.of(new RawTensor(STATE, DType.U8, new long[] {changed.length},
                Fixtures.offHeap(MemorySegment.ofArray(changed)))));
    }

    private ModelFiles without(String name) throws IOException {
        return written(source(), name, List.of());
    }

    private Safetensors source() throws IOException {
        return Safetensors.open(Fixtures.path("bnb/nf4-nested/model.safetensors"), arena);
    }

    private ModelFiles written(Safetensors file, String replaced, List<RawTensor> by) throws IOException {
        List<RawTensor> tensors = new ArrayList<>(by);
        file.names().stream().filter(n -> !n.equals(replaced)).map(file::tensor).forEach(tensors::add);
        Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of());
        Files.copy(Fixtures.path("bnb/nf4-nested/config.json"), folder.resolve("config.json"));
        return ModelFiles.open(folder, arena);
    }
}
