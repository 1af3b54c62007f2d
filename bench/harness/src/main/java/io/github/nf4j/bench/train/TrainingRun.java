package io.github.nf4j.bench.train;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceInfo;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.cases.SyntheticModel;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.LoraSettings;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.AdamW;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/// Whole training steps of a model of a real size, timed by part: adapters of rank 16 on all seven projections, AdamW.
public final class TrainingRun {
    private static final LoraSettings LORA = new LoraSettings(16, 32, false, 0);
    private static final double LEARNING_RATE = 1e-4;
    static final int SEED = 1;

    private TrainingRun() {
    }

    /// @param layers of the model's own number, or fewer to save time: a layer costs the same in every depth
    /// @param tokens in each sequence
    public record Setup(Model model, int layers, boolean nf4, DType compute, int sequences, int tokens, int steps) {
    }

    /// @param seconds of each step
    /// @param loss    of each step
    public record Step(double seconds, double forward, double backward, double optimizer, double loss) {
    }

    /// @param peakMb as of [Steps]
    /// @param weightMb what the frozen weights take
    public record Outcome(String model, int layers, String base, String compute, int tokensPerStep, double tokensPerS, long peakMb,
            long weightMb, List<Step> steps) {
    }

    /// @param peakBytes largest resident memory of this process, where the kernel tells. Of a GPU what is taken of its memory behind the last
    ///                  step, when all that steps need is still held
    public record Steps(List<Step> steps, long peakBytes) {
    }

    /// Steps of the same batch, after one that is not counted: it takes memory and warms up.
    ///
    /// @param model with adapters
    public static Steps steps(LlamaModel model, TokenBatch batch, int count) throws IOException {
        try (TensorPool pool = new TensorPool(model.stream());
                AdamW optimizer = new AdamW(model.stream(), model.parameters(), AdamW.Settings.of(0))) {
            step(model, pool, optimizer, batch);
            List<Step> steps = IntStream.range(0, count).mapToObj(_ -> step(model, pool, optimizer, batch)).toList();
            DeviceInfo device = model.stream().device().info();
            return new Steps(steps, device.hostAccessible() ? peakBytes() : device.totalMemory() - device.freeMemory());
        }
    }

    public static Outcome run(Device device, Setup setup) throws IOException {
        SyntheticModel weights = new SyntheticModel(setup.model, setup.layers, SEED);
        Quantization quantization = setup.nf4 ? Quantization.nf4() : Quantization.none();
        try (Stream stream = device.newStream();
                LlamaModel model = LlamaModel.load(stream, weights.config(), weights, quantization, setup.compute)) {
            attachAdapters(model);
            TokenBatch batch = batch(setup);
            Steps counted = steps(model, batch, setup.steps);
            int tokens = batch.tokens();
            double seconds = counted.steps.stream().mapToDouble(Step::seconds).sum();
            return new Outcome(setup.model.name(), setup.layers, setup.nf4 ? "nf4" : "none", setup.compute.name().toLowerCase(Locale.ROOT),
                    tokens, tokens * setup.steps / seconds, counted.peakBytes >> 20, model.weightMemory().bytes() >> 20, counted.steps);
        }
    }

    /// New adapters of rank 16 on all seven projections of each layer.
    public static void attachAdapters(LlamaModel model) {
        model.attachAdapters(path -> Optional.of(LORA), SEED);
    }

    /// One step: forward, backward, optimizer.
    public static Step step(LlamaModel model, TensorPool pool, AdamW optimizer, TokenBatch batch) {
        long begin = System.nanoTime();
        optimizer.zeroGrad();
        try (Tape tape = Tape.recording(pool)) {
            double sum = model.loss(tape, batch, 1.0 / batch.trainedTokens(), OptionalLong.empty());
            long forward = System.nanoTime();
            tape.backward();
            model.stream().synchronize();
            long backward = System.nanoTime();
            optimizer.step(LEARNING_RATE, 1);
            model.stream().synchronize();
            long end = System.nanoTime();
            return new Step((end - begin) / 1e9, (forward - begin) / 1e9, (backward - forward) / 1e9, (end - backward) / 1e9,
                    sum / batch.trainedTokens());
        }
    }

    static TokenBatch batch(Setup setup) {
        SplittableRandom random = new SplittableRandom(SEED);
        List<int[]> sequences = new ArrayList<>();
        for (int i = 0; i < setup.sequences; i++) {
            sequences.add(random.ints(setup.tokens, 0, setup.model.vocabulary()).toArray());
        }
        return TokenBatch.of(sequences, sequences);
    }

    /// The most memory that this process has had, 0 where the kernel does not tell.
    public static long peakBytes() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.exists(status)) {
            return 0;
        }
        return Files.readAllLines(status).stream().filter(line -> line.startsWith("VmHWM"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) << 10).findFirst().orElse(0);
    }
}
