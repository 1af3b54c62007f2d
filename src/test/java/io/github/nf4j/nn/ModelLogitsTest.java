package io.github.nf4j.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Logits of whole models against those of transformers, PEFT and bitsandbytes.
class ModelLogitsTest {
    /// Of the largest logit, in F32.
    private static final double TOLERANCE = 1e-4;

    @ParameterizedTest
    @CsvSource({
            "REFERENCE, llama-tied", "REFERENCE, llama-sharded", "REFERENCE, qwen2", "REFERENCE, mistral-window",
            "CPU, llama-tied", "CPU, llama-sharded", "CPU, qwen2", "CPU, mistral-window"})
    void equalThoseOfTransformers(Backend backend, String name) throws IOException {
        check(backend, "models/" + name, null, DType.F32, TOLERANCE);
    }

    @ParameterizedTest
    @CsvSource({"CPU, llama-tied", "CPU, qwen2", "REFERENCE, mistral-window"})
    void inBf16AreThoseOfF32UpToRounding(Backend backend, String name) throws IOException {
        check(backend, "models/" + name, null, DType.BF16, 3e-2);
    }

    @ParameterizedTest
    @CsvSource({"REFERENCE, nf4-nested", "REFERENCE, nf4-plain", "CPU, nf4-nested", "CPU, nf4-plain"})
    void ofBitsandbytesCheckpointsEqualThoseOfTheDequantizedWeights(Backend backend, String name) throws IOException {
        String logits = "bnb-logits/" + name + ".safetensors";
        Checkpoints.assertClose(name + " on " + backend, expected(logits),
                logits(backend, "bnb/" + name, logits, null, DType.F32), TOLERANCE);
    }

    @ParameterizedTest
    @CsvSource({
            "REFERENCE, plain", "REFERENCE, attention-only", "REFERENCE, rslora", "REFERENCE, patterns", "REFERENCE, layers",
            "CPU, plain", "CPU, attention-only", "CPU, rslora", "CPU, patterns", "CPU, layers"})
    void withAdaptersEqualThoseOfPeft(Backend backend, String adapter) throws IOException {
        check(backend, "models/llama-tied", "peft/" + adapter, DType.F32, TOLERANCE);
    }

    @ParameterizedTest
    @CsvSource({"CPU, plain"})
    void withoutTheAdapterAreOthers(Backend backend, String adapter) throws IOException {
        String fixture = "peft/" + adapter + "/expected.safetensors";
        float[] expected = expected(fixture);
        float[] actual = logits(backend, "models/llama-tied", fixture, null, DType.F32);
        double largest = 0;
        double difference = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            difference = Math.max(difference, Math.abs(expected[i] - actual[i]));
        }
        assertTrue(difference > 100 * TOLERANCE * largest, "the fixture cannot tell whether the adapter is there");
    }

    private static void check(Backend backend, String model, String adapter, DType compute, double tolerance)
            throws IOException {
        String fixture = (adapter == null ? model : adapter) + "/expected.safetensors";
        Checkpoints.assertClose(fixture + " on " + backend, expected(fixture), logits(backend, model, fixture, adapter, compute),
                tolerance);
    }

    private static float[] expected(String fixture) {
        try (Arena arena = Arena.ofConfined()) {
            return FixtureFile.safetensors(fixture).tensor("logits", arena).toFloatArray();
        }
    }

    /// @param fixture whose input ids are taken
    private static float[] logits(Backend backend, String model, String fixture, String adapter, DType compute)
            throws IOException {
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                LlamaModel llama = Checkpoints.load(stream, model, Quantization.none(), compute);
                TensorPool pool = new TensorPool(stream);
                Tape tape = Tape.inference(pool);
                Arena arena = Arena.ofConfined()) {
            if (adapter != null) {
                Checkpoints.attach(llama, adapter);
            }
            List<int[]> sequences = Arrays.asList(Checkpoints.rows(
                    FixtureFile.safetensors(fixture).tensor("input_ids", arena)));
            TokenBatch batch = TokenBatch.of(sequences);
            assertEquals(sequences.size() * sequences.getFirst().length, batch.tokens());
            return llama.logits(tape, batch).toFloatArray();
        }
    }
}
