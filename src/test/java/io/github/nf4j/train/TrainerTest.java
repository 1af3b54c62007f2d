package io.github.nf4j.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.io.FileFormatException;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.io.Safetensors;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.WeightSource;
import io.github.nf4j.optim.LrSchedule;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Proxy;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Training of a tiny model: that it learns, and that how the work is cut into steps, batches, threads and sessions changes nothing.
class TrainerTest {
    private static final Path MODEL = Path.of("src/test/resources/fixtures/models/llama-tied");
    private static final int VOCABULARY = 384;
    private static final List<String> ALL = List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");

    @TempDir
    private Path folder;

    /// Sequences of unequal length whose beginnings are masked.
    private static Dataset data(int examples) {
        SplittableRandom random = new SplittableRandom(5);
        List<Example> list = new ArrayList<>();
        for (int i = 0; i < examples; i++) {
            int[] ids = random.ints(6 + 5 * i % 17, 3, VOCABULARY).toArray();
            int[] labels = ids.clone();
            Arrays.fill(labels, 0, 2 + i % 3, -100);
            list.add(new Example(ids, labels));
        }
        return new Dataset(Path.of("memory"), list, 0, 0);
    }

    private static PeftConfig adapter(double dropout) {
        return PeftConfig.of(8, 16, dropout, ALL, false, "model");
    }

    private static Trainer.Settings settings(int steps, int batchSize, int gradAccum) {
        return new Trainer.Settings(steps, batchSize, gradAccum, 5e-3, new LrSchedule.Cosine(0, steps), 0.01, 1, true, 9);
    }

    /// A trainer with everything below it.
    private static final class Session implements AutoCloseable {
        private final Device device;
        private final Stream stream;
        private final LlamaModel model;
        private final Trainer trainer;

        Session(int threads, DType compute, Quantization quantization, double dropout, Trainer.Settings settings, Dataset data)
                throws IOException {
            device = Device.open(new DeviceOptions(Backend.CPU, 0, threads, Isa.AUTO));
            stream = device.newStream();
            try (Arena arena = Arena.ofConfined()) {
                ModelFiles files = ModelFiles.open(MODEL, arena);
                model = LlamaModel.load(stream, files.config(), new FileWeights(files), quantization, compute);
            }
            Adapters.attach(model, adapter(dropout), 3);
            trainer = new Trainer(model, data, settings);
        }

        static Session f32(int threads, Trainer.Settings settings, Dataset data) throws IOException {
            return new Session(threads, DType.F32, Quantization.nf4(), 0, settings, data);
        }

        List<StepMetrics> train() {
            List<StepMetrics> steps = new ArrayList<>();
            while (!trainer.done()) {
                steps.add(trainer.step());
            }
            return steps;
        }

        /// Every number that is trained.
        float[] adapters() {
            int length = 0;
            List<float[]> parts = new ArrayList<>();
            for (Parameter parameter : model.parameters()) {
                parts.add(parameter.value().toFloatArray());
                length += parts.getLast().length;
            }
            float[] all = new float[length];
            int at = 0;
            for (float[] part : parts) {
                System.arraycopy(part, 0, all, at, part.length);
                at += part.length;
            }
            return all;
        }

        @Override
        public void close() {
            trainer.close();
            model.close();
            stream.close();
            device.close();
        }
    }

    private static float[] trained(int threads, Trainer.Settings settings) throws IOException {
        try (Session session = Session.f32(threads, settings, data(12))) {
            session.train();
            return session.adapters();
        }
    }

    @ParameterizedTest
    @CsvSource({"F32, true", "BF16, true", "F32, false"})
    void learnsSequencesByHeart(DType compute, boolean quantized) throws IOException {
        Trainer.Settings settings = new Trainer.Settings(60, 4, 1, 2e-2, new LrSchedule.Cosine(4, 60), 0, 1, true, 9);
        try (Session session = new Session(0, compute, quantized ? Quantization.nf4() : Quantization.none(), 0, settings, data(4))) {
            List<StepMetrics> steps = session.train();
            assertEquals(60, steps.size());
            // A guess costs ln 384 = 5.95.
            assertTrue(steps.getFirst().loss() > 5.5, "first loss " + steps.getFirst().loss());
            // The frozen head bounds the logits: a hidden state along the wanted row of it still costs about 1.4.
            assertTrue(steps.getLast().loss() < 1.5, "last loss " + steps.getLast().loss());
        }
    }

    @Test
    void microBatchesAddUpToOneBatch() throws IOException {
        Dataset data = data(12);
        try (Session whole = Session.f32(0, settings(1, 6, 1), data); Session parts = Session.f32(0, settings(1, 2, 3), data)) {
            StepMetrics one = whole.trainer.step();
            StepMetrics three = parts.trainer.step();
            assertEquals(one.tokens(), three.tokens());
            assertEquals(one.loss(), three.loss(), 1e-6);
            assertEquals(one.gradNorm(), three.gradNorm(), 1e-5 * one.gradNorm());
            for (int i = 0; i < whole.model.parameters().size(); i++) {
                float[] expected = whole.model.parameters().get(i).grad().toFloatArray();
                float[] actual = parts.model.parameters().get(i).grad().toFloatArray();
                assertArrayEquals(expected, actual, 1e-6f * (float) one.gradNorm(), whole.model.parameters().get(i).name());
            }
        }
    }

    @Test
    void packedSequencesCostWhatSeparateOnesCost() throws IOException {
        Dataset data = data(12);
        try (Session session = Session.f32(0, settings(1, 4, 1), data)) {
            double alone = Evaluation.of(session.model, data, 1).loss();
            // Rows do not depend on their neighbours, so only the sum of the losses is taken in another order.
            assertEquals(alone, Evaluation.of(session.model, data, 5).loss(), 1e-6);
            assertEquals(alone, Evaluation.of(session.model, data, 12).loss(), 1e-6);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 7})
    void threadsChangeNoBit(int threads) throws IOException {
        assertArrayEquals(trained(1, settings(3, 4, 1)), trained(threads, settings(3, 4, 1)));
    }

    @Test
    void resumesBitByBit() throws IOException {
        Dataset data = data(12);
        Trainer.Settings settings = settings(7, 2, 2);
        float[] uninterrupted;
        try (Session session = new Session(0, DType.F32, Quantization.nf4(), 0.1, settings, data)) {
            session.train();
            uninterrupted = session.adapters();
        }
        try (Session session = new Session(0, DType.F32, Quantization.nf4(), 0.1, settings, data)) {
            for (int i = 0; i < 4; i++) {
                session.trainer.step();
            }
            session.trainer.writeCheckpoint(folder, "setup");
            session.trainer.step(); // lost with the process
        }
        try (Session session = new Session(0, DType.F32, Quantization.nf4(), 0.1, settings, data)) {
            session.trainer.resume(folder, "setup");
            assertEquals(4, session.trainer.stepsTaken());
            session.train();
            assertArrayEquals(uninterrupted, session.adapters());
        }
    }

    @Test
    void refusesTheCheckpointOfAnotherRun() throws IOException {
        Dataset data = data(12);
        try (Session session = Session.f32(0, settings(3, 4, 1), data)) {
            assertThrows(NoSuchFileException.class, () -> session.trainer.resume(folder, "setup"));
            session.trainer.step();
            session.trainer.writeCheckpoint(folder, "setup");
            FileFormatException e = assertThrows(FileFormatException.class, () -> session.trainer.resume(folder, "another model"));
            assertTrue(e.getMessage().contains("another model"), e.getMessage());
        }
        try (Session session = Session.f32(0, settings(3, 4, 1), data(11))) {
            assertThrows(FileFormatException.class, () -> session.trainer.resume(folder, "setup"));
        }
        try (Session session = Session.f32(0, settings(4, 4, 1), data)) {
            assertThrows(FileFormatException.class, () -> session.trainer.resume(folder, "setup"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "four", "-4", "99999999999"})
    void refusesACheckpointWhoseStepIsNone(String step) throws IOException {
        Safetensors.write(folder.resolve(Checkpoint.FILE), List.of(), Map.of("settings", "setup", "step", step));
        FileFormatException e = assertThrows(FileFormatException.class, () -> Checkpoint.step(folder, "setup"));
        assertTrue(e.getMessage().contains("step: expected a number"), e.getMessage());
    }

    @Test
    void saysSoWhenTrainingDiverges() throws IOException {
        Trainer.Settings settings = new Trainer.Settings(20, 4, 1, 1e30, new LrSchedule.Constant(0), 0, 0, true, 9);
        try (Session session = Session.f32(0, settings, data(4))) {
            IllegalStateException e = assertThrows(IllegalStateException.class, session::train);
            assertTrue(e.getMessage().contains("diverged"), e.getMessage());
        }
    }

    @Test
    void namesTheAdaptersThatGetNoGradient() throws IOException {
        // An o projection of zeros, whose adapter also begins at zero, cuts q, k and v of its layer off from the loss.
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream(); Arena arena = Arena.ofConfined()) {
            ModelFiles files = ModelFiles.open(MODEL, arena);
            FileWeights stored = new FileWeights(files);
            WeightSource weights = (WeightSource) Proxy.newProxyInstance(WeightSource.class.getClassLoader(),
                    new Class<?>[] {WeightSource.class}, (_, method, arguments) -> {
                        Object result = method.invoke(stored, arguments);
                        if (method.getName().equals("readF32Rows") && arguments[0].equals("model.layers.1.self_attn.o_proj.weight")) {
                            ((MemorySegment) arguments[3]).fill((byte) 0);
                        }
                        return result;
                    });
            try (LlamaModel model = LlamaModel.load(stream, files.config(), weights, Quantization.nf4(), DType.F32)) {
                Adapters.attach(model, adapter(0), 3);
                try (Trainer trainer = new Trainer(model, data(4), settings(2, 4, 1))) {
                    String message = assertThrows(IllegalStateException.class, trainer::step).getMessage();
                    for (String name : List.of("q_proj", "k_proj", "v_proj")) {
                        assertTrue(message.contains("model.layers.1.self_attn." + name), message);
                    }
                    assertFalse(message.contains("layers.0") || message.contains("o_proj") || message.contains("mlp"), message);
                }
            }
        }
    }
}
