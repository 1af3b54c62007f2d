package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig.Architecture;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.RopeScaling;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class GgufModelTest {
    @TempDir
    Path folder;

    private final Arena arena = Arena.ofAuto();

    /// A model written as GGUF reads as it does from its folder: names, shapes, and q and k in Hugging Face's row
    /// order.
    @ParameterizedTest
    @CsvSource({"models/llama-sharded, llama", "models/llama-tied, llama", "models/mistral-window, llama",
            "models/qwen2, qwen2"})
    void readsTheSameWeights(String fixture, String architecture) throws IOException {
        ModelFiles original = ModelFiles.open(Fixtures.path(fixture), arena);
        Path path = GgufModel.of(original, architecture).write(folder.resolve("model.gguf"));
        ModelFiles model = ModelFiles.open(path, arena);
        model.validate();
        assertEquals(original.config().tiedEmbeddings(), model.config().tiedEmbeddings());
        assertEquals(original.config().parameterShapes().keySet(), model.config().parameterShapes().keySet());
        for (String name : original.config().parameterShapes().keySet()) {
            assertArrayEquals(Fixtures.read(original, name), Fixtures.read(model, name), name);
            boolean permuted = architecture.equals("llama") && (name.contains("q_proj") || name.contains("k_proj"));
            assertEquals(!permuted, model.raw(name).isPresent(), name);
        }
        assertFalse(model.has("model.layers.0.mlp.bogus.weight"));
        assertFalse(model.has("blk"));
        String query = "model.layers.1.self_attn.q_proj.weight";
        MemorySegment rows = arena.allocate(ValueLayout.JAVA_FLOAT, 3 * 64);
        model.readF32Rows(query, 15, 3, rows);
        assertArrayEquals(Arrays.copyOfRange(Fixtures.read(original, query), 15 * 64, 18 * 64),
                rows.toArray(ValueLayout.JAVA_FLOAT));
    }

    @Test
    void undoesThePermutationOfBiasesToo() throws IOException {
        ModelFiles qwen = ModelFiles.open(Fixtures.path("models/qwen2"), arena);
        Path path = GgufModel.of(qwen, "llama").write(folder.resolve("model.gguf"));
        ModelFiles model = ModelFiles.open(path, arena);
        assertTrue(model.config().queryKeyValueBias());
        for (String name : List.of("model.layers.0.self_attn.q_proj.bias", "model.layers.1.self_attn.k_proj.bias")) {
            assertArrayEquals(Fixtures.read(qwen, name), Fixtures.read(model, name), name);
        }
    }

    @Test
    void readsTheConfiguration() throws IOException {
        ModelConfig c = config(w -> w.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2)
                .u32("tokenizer.ggml.eot_token_id", 3).u32("tokenizer.ggml.padding_token_id", 0));
        assertEquals(Architecture.LLAMA, c.architecture());
        assertEquals(List.of(384, 64, 160, 3, 4, 2, 16, 256),
                List.of(c.vocabularySize(), c.hiddenSize(), c.intermediateSize(),
                        c.layers(), c.heads(), c.keyValueHeads(), c.headSize(), c.maxPositions()));
        assertEquals(1e-5, c.rmsNormEpsilon(), 1e-12);
        assertEquals(10_000, c.ropeTheta());
        assertEquals(new RopeScaling.None(), c.ropeScaling());
        assertEquals(List.of(0, 0, 0), c.slidingWindows());
        assertEquals(OptionalInt.of(1), c.bosId());
        assertEquals(List.of(2, 3), c.eosIds());
        assertEquals(OptionalInt.of(0), c.padId());
        assertEquals(DType.F32, c.dtype());
    }

    @Test
    void readsRopeScaling() throws IOException {
        assertEquals(new RopeScaling.Linear(4),
                config(w -> w.string("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4))
                        .ropeScaling());
        RopeScaling.Yarn yarn = (RopeScaling.Yarn) config(w -> w.string("llama.rope.scaling.type", "yarn")
                .f32("llama.rope.scaling.factor", 8).u32("llama.rope.scaling.original_context_length", 64))
                .ropeScaling();
        assertEquals(new RopeScaling.Yarn(8, 0.1 * Math.log(8) + 1, 32, 1, 64, true), yarn);
        RopeScaling.Divisors divisors = (RopeScaling.Divisors) config(w -> w.tensor("rope_freqs.weight", new long[] {8},
                1, 1, 1, 2, 4, 8, 8, 8)).ropeScaling();
        assertEquals(List.of(1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0), divisors.divisors());
        assertEquals(List.of(7, 7, 7), config(w -> w.u32("llama.attention.sliding_window", 7)).slidingWindows());
    }

    static Stream<Arguments> unsupported() {
        return Stream.of(
                unsupported("llama.expert_count", w -> w.u32("llama.expert_count", 8)),
                unsupported("split.count", w -> w.u32("split.count", 3)),
                unsupported("llama.logit_scale", w -> w.f32("llama.logit_scale", 0.5f)),
                unsupported("llama.attn_logit_softcapping", w -> w.f32("llama.attn_logit_softcapping", 50)),
                unsupported("llama.attention.value_length", w -> w.u32("llama.attention.value_length", 8)),
                unsupported("llama.rope.scaling.type", w -> w.string("llama.rope.scaling.type", "longrope")),
                unsupported("rope_freqs.weight", w -> w.tensor("rope_freqs.weight", new long[] {4}, 1, 1, 1, 1)),
                unsupported("rope_freqs.weight", w -> w.tensor("rope_freqs.weight", new long[] {8}, 1, 1, 1, 1, 1, 1, 1, 0)),
                unsupported("tokenizer.ggml.eos_token_id", w -> w.u32("tokenizer.ggml.eos_token_id", 384)));
    }

    private static Arguments unsupported(String key, Consumer<GgufWriter> change) {
        return Arguments.of(key, change);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("unsupported")
    void refusesByKeyWhatItDoesNotImplement(String key, Consumer<GgufWriter> change) {
        String message = assertThrows(FileFormatException.class, () -> config(change)).getMessage();
        assertTrue(message.contains(key), message);
    }

    @Test
    void refusesOtherArchitecturesAndMissingKeys() throws IOException {
        Path path = new GgufWriter().string("general.architecture", "gemma3").write(folder.resolve("other.gguf"));
        assertTrue(assertThrows(FileFormatException.class, () -> ModelFiles.open(path, arena)).getMessage()
                .contains("gemma3"));
        Path bare = new GgufWriter().string("general.architecture", "llama").write(folder.resolve("bare.gguf"));
        assertTrue(assertThrows(FileFormatException.class, () -> ModelFiles.open(bare, arena)).getMessage()
                .contains("llama.embedding_length"));
    }

    private ModelConfig config(Consumer<GgufWriter> change) throws IOException {
        GgufWriter writer = GgufModel.of(ModelFiles.open(Fixtures.path("models/llama-sharded"), arena), "llama");
        change.accept(writer);
        return ModelFiles.open(writer.write(folder.resolve("model.gguf")), arena).config();
    }
}
