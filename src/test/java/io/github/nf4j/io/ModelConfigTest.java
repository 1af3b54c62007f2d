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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelConfigTest {
    /// A configuration with nothing but what has no default.
    private static final String BARE = """
            {"model_type": "%s", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 4, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 384, "max_position_embeddings": 256%s}""";

    @TempDir
    Path folder;

    @Test
    void readsWhatTransformers5Writes() throws IOException {
        ModelConfig c = HuggingFaceConfig.read(Fixtures.path("models/llama-tied"));
        assertEquals(Architecture.LLAMA, c.architecture());
        assertEquals(List.of(384, 64, 160, 2, 4, 2, 32, 256),
                List.of(c.vocabularySize(), c.hiddenSize(), c.intermediateSize(),
                        c.layers(), c.heads(), c.keyValueHeads(), c.headSize(), c.maxPositions()));
        assertEquals(1e-6, c.rmsNormEpsilon());
        assertEquals(500_000, c.ropeTheta());
        assertEquals(new RopeScaling.Llama3(8, 1, 4, 64), c.ropeScaling());
        assertTrue(c.tiedEmbeddings());
        assertEquals(DType.BF16, c.dtype());
        assertEquals(OptionalInt.of(1), c.bosId());
        assertEquals(List.of(2), c.eosIds());
        assertEquals(OptionalInt.of(0), c.padId());
        assertFalse(c.queryKeyValueBias() || c.outputBias() || c.mlpBias() || c.bnb4bit());
        assertEquals(128, c.querySize());
        assertEquals(64, c.keyValueSize());
        assertArrayEquals(new long[] {64, 128}, c.parameterShapes().get("model.layers.1.self_attn.o_proj.weight"));
        assertFalse(c.parameterShapes().containsKey("lm_head.weight"));
    }

    @Test
    void readsWhatTransformers4Wrote() throws IOException {
        ModelConfig c = HuggingFaceConfig.read(Fixtures.path("models/llama-sharded"));
        assertEquals(DType.F32, c.dtype());
        assertEquals(10_000, c.ropeTheta());
        assertEquals(new RopeScaling.None(), c.ropeScaling());
        assertTrue(c.parameterShapes().containsKey("lm_head.weight"));
    }

    @Test
    void knowsEachArchitecturesBiasesAndWindows() throws IOException {
        ModelConfig qwen = HuggingFaceConfig.read(Fixtures.path("models/qwen2"));
        assertTrue(qwen.queryKeyValueBias());
        assertFalse(qwen.outputBias());
        assertEquals(16, qwen.headSize());
        assertEquals(List.of(0, 0), qwen.slidingWindows());
        ModelConfig mistral = HuggingFaceConfig.read(Fixtures.path("models/mistral-window"));
        assertEquals(List.of(8, 8), mistral.slidingWindows());
        assertFalse(mistral.queryKeyValueBias());
        ModelConfig biased = read("llama", ", \"attention_bias\": true, \"mlp_bias\": true");
        assertTrue(biased.queryKeyValueBias() && biased.outputBias() && biased.mlpBias());
        assertArrayEquals(new long[] {160}, biased.parameterShapes().get("model.layers.3.mlp.gate_proj.bias"));
        assertArrayEquals(new long[] {32}, biased.parameterShapes().get("model.layers.3.self_attn.v_proj.bias"));
        assertTrue(HuggingFaceConfig.read(Fixtures.path("bnb/nf4-nested")).bnb4bit());
    }

    @Test
    void fillsInTransformersDefaults() throws IOException {
        ModelConfig c = read("llama", "");
        assertEquals(1e-6, c.rmsNormEpsilon());
        assertEquals(10_000, c.ropeTheta());
        assertEquals(16, c.headSize());
        assertFalse(c.tiedEmbeddings());
        assertEquals(DType.F32, c.dtype());
        assertEquals(OptionalInt.empty(), c.padId());
        assertEquals(List.of(), c.eosIds());
        assertEquals(4, read("llama", "", "\"num_key_value_heads\": 2,").keyValueHeads());
        assertEquals(Collections.nCopies(4, 4096), read("mistral", "").slidingWindows());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "mistral | 'sliding_window': null                                                         | 0 0 0 0",
            "mistral | 'sliding_window': 9                                                            | 9 9 9 9",
            "llama   | 'sliding_window': 9                                                            | 0 0 0 0",
            "qwen2   | 'sliding_window': 9, 'max_window_layers': 1                                    | 0 0 0 0",
            "qwen2   | 'sliding_window': 9, 'max_window_layers': 1, 'use_sliding_window': true        | 0 9 9 9",
            "qwen2   | 'sliding_window': 9, 'use_sliding_window': true                                | 0 0 0 0",
            "qwen2   | 'sliding_window': 9, 'use_sliding_window': true, 'layer_types': ['sliding_attention','full_attention','sliding_attention','full_attention'] | 9 0 9 0"})
    void placesWindowsAsTransformersDoes(String type, String fields, String windows) throws IOException {
        List<Integer> expected = List.of(windows.split(" ")).stream().map(Integer::valueOf).toList();
        assertEquals(expected, read(type, ", " + fields.replace('\'', '"')).slidingWindows());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "'rope_scaling': null                                          | None[]",
            "'rope_scaling': {'rope_type': 'default'}                      | None[]",
            "'rope_scaling': {'type': 'linear', 'factor': 2.0}             | Linear[factor=2.0]",
            "'rope_scaling': {'type': 'dynamic', 'factor': 4}              | Dynamic[factor=4.0]",
            "'rope_parameters': {'rope_type': 'linear', 'factor': 3, 'rope_theta': 7} | Linear[factor=3.0]",
            "'rope_scaling': {'rope_type': 'llama3', 'factor': 8, 'low_freq_factor': 1, 'high_freq_factor': 4} | Llama3[factor=8.0, lowFrequencyFactor=1.0, highFrequencyFactor=4.0, originalMaxPositions=256.0]",
            "'rope_scaling': {'type': 'yarn', 'factor': 4, 'original_max_position_embeddings': 64} | Yarn[factor=4.0, attentionFactor=1.138629436111989, betaFast=32.0, betaSlow=1.0, originalMaxPositions=64.0, truncate=true]",
            "'rope_scaling': {'type': 'yarn', 'factor': 4, 'attention_factor': 1.5, 'beta_fast': 16, 'beta_slow': 2, 'truncate': false, 'original_max_position_embeddings': 64} | Yarn[factor=4.0, attentionFactor=1.5, betaFast=16.0, betaSlow=2.0, originalMaxPositions=64.0, truncate=false]",
            "'rope_scaling': {'type': 'yarn', 'factor': 4, 'mscale': 1, 'mscale_all_dim': 1, 'original_max_position_embeddings': 64} | Yarn[factor=4.0, attentionFactor=1.0, betaFast=32.0, betaSlow=1.0, originalMaxPositions=64.0, truncate=true]"})
    void readsRopeScaling(String fields, String expected) throws IOException {
        assertEquals(expected, read("llama", ", " + fields.replace('\'', '"')).ropeScaling().toString());
    }

    @Test
    void prefersTheThetaInsideRopeParameters() throws IOException {
        assertEquals(7, read("llama", ", \"rope_theta\": 5, \"rope_parameters\": {\"rope_theta\": 7}").ropeTheta());
        assertEquals(5, read("llama", ", \"rope_theta\": 5, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}")
                .ropeTheta());
    }

    @Test
    void takesIdsThatEndAGenerationFromItsOwnFile() throws IOException {
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [5, 6]}");
        assertEquals(List.of(5, 6), read("llama", ", \"eos_token_id\": 2").eosIds());
        Files.writeString(folder.resolve("generation_config.json"), "{}");
        assertEquals(List.of(2, 3), read("llama", ", \"eos_token_id\": [2, 3]").eosIds());
    }

    /// Fields that would change the computation, or contradict each other: the message names the field.
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "hidden_act                    | 'hidden_act': 'gelu'",
            "attn_logit_softcapping        | 'attn_logit_softcapping': 50.0",
            "final_logit_softcapping       | 'final_logit_softcapping': 30.0",
            "partial_rotary_factor         | 'partial_rotary_factor': 0.5",
            "rope_parameters.partial_rotary_factor | 'rope_parameters': {'partial_rotary_factor': 0.5}",
            "pretraining_tp                | 'pretraining_tp': 2",
            "num_local_experts             | 'num_local_experts': 8",
            "embedding_multiplier          | 'embedding_multiplier': 12.0",
            "query_pre_attn_scalar         | 'query_pre_attn_scalar': 256",
            "clip_qkv                      | 'clip_qkv': 8",
            "rope_scaling.rope_type        | 'rope_scaling': {'rope_type': 'longrope', 'factor': 2}",
            "rope_scaling.type             | 'rope_scaling': {'type': 'su'}",
            "rope_scaling.factor           | 'rope_scaling': {'type': 'linear'}",
            "rope_scaling.factor           | 'rope_scaling': {'type': 'linear', 'factor': 0}",
            "rope_parameters.full_attention | 'rope_parameters': {'full_attention': {'rope_theta': 7}}",
            "rope_scaling                  | 'rope_scaling': 4",
            "head_dim                      | 'head_dim': 15",
            "head_dim                      | 'head_dim': -2",
            "rms_norm_eps                  | 'rms_norm_eps': 0",
            "rms_norm_eps                  | 'rms_norm_eps': '1e-5'",
            "tie_word_embeddings           | 'tie_word_embeddings': 1",
            "dtype                         | 'dtype': 'float8'",
            "torch_dtype                   | 'torch_dtype': 'float64'",
            "eos_token_id                  | 'eos_token_id': 384",
            "bos_token_id                  | 'bos_token_id': 1.5",
            "quantization_config.quant_method | 'quantization_config': {'quant_method': 'gptq'}",
            "quantization_config.load_in_4bit | 'quantization_config': {'quant_method': 'bitsandbytes', 'load_in_8bit': true}",
            "quantization_config.bnb_4bit_quant_type | 'quantization_config': {'load_in_4bit': true, 'bnb_4bit_quant_type': 'fp4'}",
            "quantization_config.bnb_4bit_quant_storage | 'quantization_config': {'load_in_4bit': true, 'bnb_4bit_quant_type': 'nf4', 'bnb_4bit_quant_storage': 'bfloat16'}",
            "JSON                          | 'vocab_size': 384"})
    void refusesByName(String field, String fields) {
        String message = assertThrows(FileFormatException.class, () -> read("llama", ", " + fields.replace('\'', '"')))
                .getMessage();
        assertTrue(message.contains("config.json: " + field + ": "), message);
    }

    @ParameterizedTest
    @CsvSource({"\"hidden_size\": 64, hidden_size", "\"vocab_size\": 384, vocab_size",
            "\"num_attention_heads\": 4, num_attention_heads", "\"intermediate_size\": 160, intermediate_size"})
    void refusesMissingSizes(String removed, String field) {
        String message = assertThrows(FileFormatException.class, () -> read("llama", "", removed + ",")).getMessage();
        assertTrue(message.contains(field + ": missing"), message);
    }

    @Test
    void refusesOtherArchitectures() {
        assertTrue(assertThrows(FileFormatException.class, () -> read("gemma3", "")).getMessage().contains("'gemma3'"));
        assertTrue(assertThrows(FileFormatException.class, () -> read("qwen2", "", "\"num_key_value_heads\": 2,"))
                .getMessage().contains("num_key_value_heads"));
    }

    @Test
    void ignoresWhatDoesNotChangeTheMath() throws IOException {
        assertEquals(64, read("llama", ", \"use_cache\": false, \"attention_dropout\": 0.1, \"hidden_act\": \"silu\","
                + "\"pretraining_tp\": 1, \"partial_rotary_factor\": 1.0, \"final_logit_softcapping\": null, \"anything\": {}")
                .hiddenSize());
    }

    private ModelConfig read(String type, String fields) throws IOException {
        return read(type, fields, "");
    }

    private ModelConfig read(String type, String fields, String without) throws IOException {
        Files.writeString(folder.resolve("config.json"), BARE.formatted(type, fields).replace(without, ""));
        return HuggingFaceConfig.read(folder);
    }
}
