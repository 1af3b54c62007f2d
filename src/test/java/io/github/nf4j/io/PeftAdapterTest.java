package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.DType;
import io.github.nf4j.io.PeftAdapter.Matrices;
import io.github.nf4j.io.PeftConfig.Modules;
import io.github.nf4j.nn.ModelConfig;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PeftAdapterTest {
    private static final String QUERY = "model.layers.0.self_attn.q_proj";

    @TempDir
    Path folder;

    private final Arena arena = Arena.ofAuto();

    @ParameterizedTest
    @CsvSource({"plain, 14, 8", "attention-only, 4, 4", "rslora, 14, 16", "patterns, 14, 4", "layers, 2, 4"})
    void readsWhatPeftWrote(String name, int modules, int rank) throws IOException {
        PeftAdapter adapter = open(name);
        assertEquals(modules, adapter.modules().size());
        assertEquals(rank, adapter.config().rank());
        assertEquals("../models/llama-tied", adapter.config().baseModel().orElseThrow());
        adapter.requireFits(linearLayers("models/llama-tied"));
        // what the configuration targets among the model's layers is exactly what PEFT saved
        assertEquals(adapter.modules().keySet(), linearLayers("models/llama-tied").keySet().stream()
                .filter(adapter.config()::targets).collect(Collectors.toSet()));
        adapter.modules().forEach((path, matrices) -> {
            assertEquals(adapter.config().rank(path), matrices.a().shape()[0]);
            assertEquals(adapter.config().rank(path), matrices.b().shape()[1]);
        });
    }

    @Test
    void appliesPatternsAndScales() throws IOException {
        PeftConfig patterns = open("patterns").config();
        assertEquals(12, patterns.rank("model.layers.0.mlp.down_proj"));
        assertEquals(6, patterns.alpha("model.layers.0.mlp.down_proj"));
        assertEquals(0.5, patterns.scale("model.layers.0.mlp.down_proj"));
        assertEquals(2, patterns.rank("model.layers.1.self_attn.q_proj"));
        assertEquals(4, patterns.rank(QUERY));
        assertEquals(2, patterns.scale(QUERY));
        assertEquals(16 / 4.0, open("rslora").config().scale(QUERY));
        assertEquals(2, open("plain").config().scale(QUERY));
    }

    @Test
    void matchesModulesAsPeftDoes() {
        assertTrue(config(new Modules.Named(List.of("q_proj"))).targets(QUERY));
        assertFalse(config(new Modules.Named(List.of("_proj"))).targets(QUERY));
        assertTrue(config(new Modules.Named(List.of(QUERY))).targets(QUERY));
        assertTrue(config(new Modules.Named(List.of("self_attn.q_proj"))).targets(QUERY));
        assertTrue(config(new Modules.Matching(".*\\.(q|v)_proj")).targets(QUERY));
        assertFalse(config(new Modules.Matching("(q|v)_proj")).targets(QUERY), "the whole path must match");
        assertTrue(config(new Modules.AllLinear()).targets(QUERY));
        assertFalse(config(new Modules.AllLinear()).targets("lm_head"));
        PeftConfig excluded = config(new Modules.AllLinear(), new Modules.Named(List.of("q_proj")), List.of(),
                List.of());
        assertFalse(excluded.targets(QUERY));
        assertTrue(excluded.targets("model.layers.0.self_attn.k_proj"));
        assertFalse(config(new Modules.AllLinear(), new Modules.Matching(".*self_attn.*"), List.of(), List.of())
                .targets(QUERY));
        Modules named = new Modules.Named(List.of("q_proj"));
        Modules none = new Modules.Named(List.of());
        for (List<String> pattern : List.of(List.<String>of(), List.of("layers"), List.of("h", "layers"))) {
            assertTrue(config(named, none, List.of(0, 2), pattern).targets(QUERY));
            assertFalse(config(named, none, List.of(1, 2), pattern).targets(QUERY));
        }
        assertFalse(config(named, none, List.of(0), List.of("blocks")).targets(QUERY));
        assertTrue(config(new Modules.Named(List.of(QUERY)), none, List.of(1), List.of()).targets(QUERY),
                "a module named by its whole path is not filtered by layers");
    }

    @Test
    void refusesPatternsThatTakeAllOfTheStack() {
        PeftConfig config = config(new Modules.Matching("(?:[a-z]|x)*"));
        assertTrue(config.targets("a".repeat(100)));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> config.targets("a".repeat(100_000))).getMessage()
                .contains("too much stack"));
    }

    private static PeftConfig config(Modules targets) {
        return config(targets, new Modules.Named(List.of()), List.of(), List.of());
    }

    private static PeftConfig config(Modules targets, Modules excluded, List<Integer> layers, List<String> pattern) {
        return new PeftConfig(8, 16, 0, targets, excluded, Map.of(), Map.of(), false, layers, pattern,
                Optional.empty());
    }

    @Test
    void takesTheFirstPatternThatMatches() {
        Map<String, Integer> ranks = new LinkedHashMap<>();
        ranks.put("layers.0.*", 3);
        ranks.put("q_proj", 5);
        PeftConfig config = new PeftConfig(8, 16, 0, new Modules.AllLinear(), new Modules.Named(List.of()), ranks,
                Map.of(), true, List.of(), List.of(), Optional.empty());
        assertEquals(3, config.rank(QUERY));
        assertEquals(5, config.rank("model.layers.1.self_attn.q_proj"));
        assertEquals(8, config.rank("model.layers.1.self_attn.k_proj"));
        assertEquals(16 / Math.sqrt(5), config.scale("model.layers.1.self_attn.q_proj"));
    }

    @ParameterizedTest
    @CsvSource({"dora, use_dora", "lora-bias, lora_bias", "modules-to-save, modules_to_save"})
    void refusesByNameWhatItDoesNotImplement(String name, String key) {
        String message = assertThrows(FileFormatException.class, () -> open(name)).getMessage();
        assertTrue(message.contains("adapter_config.json: " + key + ": "), message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "peft_type         | \"IA3\"",
            "peft_type         | null",
            "task_type         | \"SEQ_CLS\"",
            "bias              | \"all\"",
            "fan_in_fan_out    | true",
            "init_lora_weights | \"pissa\"",
            "init_lora_weights | \"loftq\"",
            "layer_replication | [[0, 1]]",
            "trainable_token_indices | [1]",
            "use_qalora        | true",
            "a_future_feature  | true",
            "a_future_feature  | {\"x\": 1}",
            "target_modules    | null",
            "target_modules    | [1]",
            "r                 | 0",
            "r                 | \"8\"",
            "lora_alpha        | 0",
            "rank_pattern.x    | 0",
            "alpha_pattern.x   | -1"})
    void refusesKeysThatChangeTheComputation(String key, String value) throws IOException {
        copy("plain", json -> {
            if (key.contains(".")) {
                json.putObject(key.substring(0, key.indexOf('.'))).set("x", tree(value));
            } else {
                json.set(key, tree(value));
            }
        });
        String message = assertThrows(FileFormatException.class, () -> PeftAdapter.open(folder, arena)).getMessage();
        assertTrue(message.contains("adapter_config.json: " + key), message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "target_modules | \"(\"        | adapter configuration",
            "lora_dropout   | 1            | adapter configuration",
            "a_future_feature | false      | ",
            "a_future_feature | null       | ",
            "init_lora_weights | \"gaussian\" | ",
            "revision       | \"main\"     | "})
    void readsHarmlessKeysAndChecksValues(String key, String value, String expected) throws IOException {
        copy("plain", json -> json.set(key, tree(value)));
        if (expected == null) {
            assertEquals(14, PeftAdapter.open(folder, arena).modules().size());
        } else {
            String message = assertThrows(FileFormatException.class, () -> PeftAdapter.open(folder, arena))
                    .getMessage();
            assertTrue(message.contains(expected), message);
        }
    }

    private static JsonNode tree(String json) {
        try {
            return JsonObject.MAPPER.readTree(json);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /// Tensors that are missing, superfluous or of another shape than the configuration says.
    @ParameterizedTest
    @ValueSource(strings = {"missing B", "unexpected", "untargeted", "rank", "one dimension", "integers", "NaN", "none"})
    void refusesTensorsThatContradictTheConfiguration(String lie) throws IOException {
        copy("attention-only", json -> {});
        Safetensors file = Safetensors.open(Fixtures.path("peft/attention-only/adapter_model.safetensors"), arena);
        Map<String, RawTensor> tensors = new HashMap<>();
        file.names().forEach(name -> tensors.put(name, file.tensor(name)));
        String a = "base_model.model." + QUERY + ".lora_A.weight";
        String b = "base_model.model." + QUERY + ".lora_B.weight";
        String expected = switch (lie) {
            case "missing B" -> {
                tensors.remove(b);
                yield b;
            }
            case "unexpected" -> add(tensors, "base_model.model.lm_head.weight", DType.F32, 2, 2);
            case "untargeted" -> {
                add(tensors, b.replace("q_proj", "k_proj"), DType.F32, 64, 4);
                yield add(tensors, a.replace("q_proj", "k_proj"), DType.F32, 4, 64);
            }
            case "rank" -> add(tensors, a, DType.F32, 5, 64);
            case "one dimension" -> add(tensors, a, DType.F32, 256);
            case "NaN" -> {
                add(tensors, a, DType.F32, 4, 64);
                tensors.get(a).data().setAtIndex(ValueLayout.JAVA_FLOAT, 77, Float.NaN);
                yield a + "': element 77 is NaN";
            }
            case "integers" -> add(tensors, a, DType.I32, 4, 64);
            default -> {
                tensors.clear();
                yield "there are none";
            }
        };
        Safetensors.write(folder.resolve("adapter_model.safetensors"), new ArrayList<>(tensors.values()), Map.of());
        String message = assertThrows(FileFormatException.class, () -> PeftAdapter.open(folder, arena)).getMessage();
        assertTrue(message.contains(expected) && message.contains("adapter_model.safetensors"), message);
    }

    private String add(Map<String, RawTensor> tensors, String name, DType type, long... shape) {
        tensors.put(name, new RawTensor(name, type, shape, arena.allocate(Shapes.elements(shape) * 4)));
        return name;
    }

    @Test
    void refusesAnAdapterOfAnotherModel() throws IOException {
        PeftAdapter adapter = open("plain");
        String shape = assertThrows(IllegalArgumentException.class,
                () -> adapter.requireFits(linearLayers("models/qwen2"))).getMessage();
        assertTrue(shape.contains("does not belong to this model") && shape.contains("model.layers.0.self_attn.q_proj"),
                shape);
        Map<String, long[]> fewer = linearLayers("models/llama-tied");
        fewer.remove(QUERY);
        assertTrue(assertThrows(IllegalArgumentException.class, () -> adapter.requireFits(fewer)).getMessage()
                .contains("no linear layer " + QUERY));
        Map<String, long[]> more = linearLayers("models/llama-tied");
        more.put("model.layers.2.mlp.up_proj", new long[] {160, 64});
        assertTrue(assertThrows(IllegalArgumentException.class, () -> adapter.requireFits(more)).getMessage()
                .contains("no matrices for model.layers.2.mlp.up_proj"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "attention-only", "rslora", "patterns", "layers"})
    void writesWhatItReads(String name) throws IOException {
        PeftAdapter adapter = open(name);
        Path out = folder.resolve("out");
        adapter.write(out);
        PeftAdapter again = PeftAdapter.open(out, arena);
        assertEquals(adapter.config(), again.config());
        assertEquals(-1, Files.mismatch(Fixtures.path("peft/" + name + "/adapter_model.safetensors"),
                out.resolve("adapter_model.safetensors")), "PEFT's own bytes");
        assertEquals(2, Files.list(out).count());
    }

    /// The few keys that every release of PEFT knows, sorted, indented by two.
    @Test
    void writesTheSmallestConfigurationThatPeftLoads() throws IOException {
        RawTensor a = new RawTensor("a", DType.F32, new long[] {2, 3}, Fixtures.segment(1, 2, 3, 4, 5, 6));
        RawTensor b = new RawTensor("b", DType.F32, new long[] {1, 2}, Fixtures.segment(7, 8));
        PeftConfig config = PeftConfig.of(2, 4, 0.5, List.of("q_proj", "v_proj"), false, "some/model");
        new PeftAdapter(config, Map.of(QUERY, new Matrices(a, b))).write(folder);
        assertEquals("""
                {
                  "base_model_name_or_path": "some/model",
                  "bias": "none",
                  "fan_in_fan_out": false,
                  "inference_mode": true,
                  "init_lora_weights": true,
                  "lora_alpha": 4,
                  "lora_dropout": 0.5,
                  "modules_to_save": null,
                  "peft_type": "LORA",
                  "r": 2,
                  "target_modules": [
                    "q_proj",
                    "v_proj"
                  ],
                  "task_type": "CAUSAL_LM"
                }
                """, Files.readString(folder.resolve("adapter_config.json")));
        assertArrayEquals(new float[] {7, 8}, Fixtures.f32(PeftAdapter.open(folder, arena).modules().get(QUERY).b()));
        RawTensor half = new RawTensor("a", DType.BF16, new long[] {2, 1}, arena.allocate(4));
        assertThrows(IllegalArgumentException.class,
                () -> new PeftAdapter(config, Map.of(QUERY, new Matrices(half, b))).write(folder.resolve("other")));
        assertFalse(Files.exists(folder.resolve("other")));
    }

    @Test
    void refusesRanksAndNumbersOutOfRange() {
        assertThrows(IllegalArgumentException.class, () -> PeftConfig.of(0, 1, 0, List.of("q_proj"), false, "m"));
        assertThrows(IllegalArgumentException.class, () -> PeftConfig.of(1, Double.NaN, 0, List.of("q_proj"), false, "m"));
        assertThrows(IllegalArgumentException.class, () -> PeftConfig.of(1, 1, 1, List.of("q_proj"), false, "m"));
    }

    @Test
    void saysWhatIsMissing() throws IOException {
        assertThrows(NoSuchFileException.class, () -> PeftAdapter.open(folder.resolve("absent"), arena));
        assertTrue(assertThrows(NoSuchFileException.class, () -> PeftAdapter.open(folder, arena)).getMessage()
                .contains("adapter_config.json"));
        copy("plain", json -> {});
        Files.delete(folder.resolve("adapter_model.safetensors"));
        assertTrue(assertThrows(NoSuchFileException.class, () -> PeftAdapter.open(folder, arena)).getMessage()
                .contains("adapter_model.safetensors"));
    }

    private PeftAdapter open(String name) throws IOException {
        return PeftAdapter.open(Fixtures.path("peft/" + name), arena);
    }

    private void copy(String name, Consumer<ObjectNode> change) throws IOException {
        Path from = Fixtures.path("peft/" + name);
        Files.copy(from.resolve("adapter_model.safetensors"), folder.resolve("adapter_model.safetensors"));
        JsonObject config = JsonObject.read(from.resolve("adapter_config.json"));
        change.accept(config.node());
        Files.writeString(folder.resolve("adapter_config.json"), config.node().toString());
    }

    private static Map<String, long[]> linearLayers(String model) throws IOException {
        Map<String, long[]> layers = new LinkedHashMap<>();
        HuggingFaceConfig.read(Fixtures.path(model)).parameterShapes().forEach((name, shape) -> {
            if (name.endsWith("_proj.weight")) {
                layers.put(name.substring(0, name.length() - ".weight".length()), shape);
            }
        });
        return layers;
    }
}
