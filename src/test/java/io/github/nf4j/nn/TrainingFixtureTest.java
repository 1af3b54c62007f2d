package io.github.nf4j.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.FixtureFile;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.optim.AdamW;
import io.github.nf4j.optim.LrSchedule;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Twenty optimizer steps as PEFT and torch took them: gradient accumulation, clipping, warm-up, AdamW.
class TrainingFixtureTest {
    private static final int STEPS = 20;
    private static final int MICRO_BATCHES = 2;
    private static final int SEQUENCES = 2;

    @ParameterizedTest
    @CsvSource({"REFERENCE, lora", "REFERENCE, qlora", "CPU, lora", "CPU, qlora"})
    void stepsEqualThoseOfPeft(Backend backend, String name) throws IOException {
        train(backend, name, STEPS);
    }

    /// The CUDA kernels, run by the host: slow, so the first steps alone.
    @ParameterizedTest
    @ValueSource(strings = {"lora", "qlora"})
    void firstStepsOfTheCudaKernelsEqualThoseOfPeft(String name) throws IOException {
        try {
            Device.open(Backend.SIMT).close();
        } catch (BackendUnavailableException e) {
            abort("no simt: " + e.getMessage());
        }
        train(Backend.SIMT, name, 2);
    }

    private static void train(Backend backend, String name, int steps) throws IOException {
        String fixture = "training/" + name;
        JsonNode run = FixtureFile.json(fixture + "/run.json");
        try (Device device = Device.open(backend);
                Stream stream = device.newStream();
                Arena arena = Arena.ofConfined();
                LlamaModel model = load(stream, name.equals("qlora"), arena);
                TensorPool pool = new TensorPool(stream)) {
            JsonNode lora = run.get("lora");
            model.attachAdapters(_ -> Optional.of(new LoraSettings(lora.get("r").intValue(), lora.get("alpha").doubleValue(),
                    false, lora.get("dropout").doubleValue())), 0);
            FixtureFile initial = FixtureFile.safetensors(fixture + "/initial.safetensors");
            model.parameters().forEach(p -> p.value().copyFrom(initial.tensor(p.name(), arena).toFloatArray()));
            FixtureFile data = FixtureFile.safetensors(fixture + "/data.safetensors");
            int[][] ids = Checkpoints.rows(data.tensor("input_ids", arena));
            int[][] labels = Checkpoints.rows(data.tensor("labels", arena));

            JsonNode settings = run.get("optimizer");
            try (AdamW optimizer = new AdamW(stream, model.parameters(),
                    AdamW.Settings.of(settings.get("weight_decay").doubleValue()))) {
                LrSchedule schedule = new LrSchedule.Cosine(4, STEPS);
                for (int step = 0; step < steps; step++) {
                    JsonNode expected = run.get("log").get(step);
                    List<TokenBatch> batches = batches(ids, labels, step);
                    int tokens = batches.stream().mapToInt(TokenBatch::trainedTokens).sum();
                    assertEquals(expected.get("tokens").intValue(), tokens);
                    optimizer.zeroGrad();
                    double loss = 0;
                    for (TokenBatch batch : batches) {
                        try (Tape tape = Tape.recording(pool)) {
                            loss += model.loss(tape, batch, 1.0 / tokens, OptionalLong.empty()) / tokens;
                            tape.backward();
                        }
                    }
                    if (step == 0) {
                        assertEquals(expected.get("loss").doubleValue(), loss, 2e-5, "loss of the first step");
                        checkGradients(model.parameters(), fixture, arena);
                    }
                    assertEquals(expected.get("loss").doubleValue(), loss, 2e-3, "loss of step " + step);
                    double lr = settings.get("lr").doubleValue() * schedule.factor(step);
                    assertEquals(expected.get("lr").doubleValue(), lr, 1e-12, "learning rate of step " + step);
                    double norm = optimizer.step(lr, settings.get("clip_global_norm").doubleValue());
                    assertEquals(expected.get("grad_norm").doubleValue(), norm, 5e-3 * norm, "gradient norm of step " + step);
                }
            }
            if (steps < STEPS) {
                return;
            }
            FixtureFile last = FixtureFile.safetensors(fixture + "/final.safetensors");
            for (Parameter parameter : model.parameters()) {
                Checkpoints.assertClose("final " + parameter.name(), last.tensor(parameter.name(), arena).toFloatArray(),
                        parameter.value().toFloatArray(), 2e-2);
            }
        }
    }

    private static LlamaModel load(Stream stream, boolean quantized, Arena arena) throws IOException {
        ModelFiles files = ModelFiles.open(Checkpoints.path("models/llama-tied"), arena);
        WeightSource source = new Checkpoints.Files(files);
        return LlamaModel.load(stream, files.config(), quantized ? new BitsandbytesOnCpu(source, stream) : source,
                Quantization.none(), DType.F32);
    }

    private static void checkGradients(List<Parameter> parameters, String fixture, Arena arena) {
        FixtureFile gradients = FixtureFile.safetensors(fixture + "/gradients_step0.safetensors");
        assertTrue(parameters.size() == 28, "two factors for each of 14 projections");
        for (Parameter parameter : parameters) {
            Checkpoints.assertClose("gradient of " + parameter.name(),
                    gradients.tensor(parameter.name(), arena).toFloatArray(), parameter.grad().toFloatArray(), 1e-4);
        }
    }

    private static List<TokenBatch> batches(int[][] ids, int[][] labels, int step) {
        List<TokenBatch> batches = new ArrayList<>();
        for (int micro = 0; micro < MICRO_BATCHES; micro++) {
            int first = (step * MICRO_BATCHES + micro) * SEQUENCES;
            batches.add(TokenBatch.of(List.of(ids[first], ids[first + 1]), List.of(labels[first], labels[first + 1])));
        }
        return batches;
    }
}
