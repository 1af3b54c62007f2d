package io.github.nf4j.bench.train;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.LoraSettings;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.RopeScaling;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.AdamW;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/// Whole training steps of a model of a real size, timed by part: adapters of rank 16 on all seven projections, AdamW.
public final class TrainingRun {
    private static final LoraSettings LORA = new LoraSettings(16, 32, false, 0);
    private static final double LEARNING_RATE = 1e-4;
    private static final int MOST_POSITIONS = 1 << 17;

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

    /// @param peakMb largest resident memory of this process, where the kernel tells
    /// @param weightMb what the frozen weights take
    public record Outcome(String model, int layers, String base, String compute, int tokensPerStep, double tokensPerS, long peakMb,
            long weightMb, List<Step> steps) {
    }

    /// Steps of the same batch, after one that is not counted: it takes memory and warms up.
    ///
    /// @param model with adapters
    public static List<Step> steps(LlamaModel model, TokenBatch batch, int count) {
        try (TensorPool pool = new TensorPool(model.stream());
                AdamW optimizer = new AdamW(model.stream(), model.parameters(), AdamW.Settings.of(0))) {
            step(model, pool, optimizer, batch);
            return IntStream.range(0, count).mapToObj(_ -> step(model, pool, optimizer, batch)).toList();
        }
    }

    public static Outcome run(Device device, Setup setup) throws IOException {
        ModelConfig config = config(setup);
        Quantization quantization = setup.nf4 ? Quantization.nf4() : Quantization.none();
        try (Stream stream = device.newStream();
                LlamaModel model = LlamaModel.load(stream, config, new RandomWeights(config), quantization, setup.compute)) {
            attachAdapters(model);
            TokenBatch batch = batch(setup);
            List<Step> counted = steps(model, batch, setup.steps);
            int tokens = batch.tokens();
            double seconds = counted.stream().mapToDouble(Step::seconds).sum();
            return new Outcome(setup.model.name(), setup.layers, setup.nf4 ? "nf4" : "none", setup.compute.name().toLowerCase(Locale.ROOT),
                    tokens,
                    tokens * counted.size() / seconds, peakBytes() >> 20, model.weightMemory().bytes() >> 20, counted);
        }
    }

    static void attachAdapters(LlamaModel model) {
        model.attachAdapters(path -> Optional.of(LORA), 1);
    }

    static Step step(LlamaModel model, TensorPool pool, AdamW optimizer, TokenBatch batch) {
        long begin = System.nanoTime();
        optimizer.zeroGrad();
        try (Tape tape = Tape.recording(pool)) {
            double sum = model.loss(tape, batch, 1.0 / batch.trainedTokens(), OptionalLong.empty());
            long forward = System.nanoTime();
            tape.backward();
            model.stream().synchronize();
            long backward = System.nanoTime();
            optimizer.step(LEARNING_RATE, 1);
            long end = System.nanoTime();
            return new Step((end - begin) / 1e9, (forward - begin) / 1e9, (backward - forward) / 1e9, (end - backward) / 1e9,
                    sum / batch.trainedTokens());
        }
    }

    static ModelConfig config(Setup setup) {
        Model model = setup.model;
        return new ModelConfig(ModelConfig.Architecture.LLAMA, model.vocabulary(), model.hidden(), model.intermediate(), setup.layers,
                model.heads(), model.kvHeads(), model.headDim(), 1e-5, 10000, new RopeScaling.None(), MOST_POSITIONS, false, false, false,
                Collections.nCopies(setup.layers, 0), model.tiedEmbeddings(), DType.F32, OptionalInt.empty(), List.of(),
                OptionalInt.empty(), false);
    }

    static TokenBatch batch(Setup setup) {
        SplittableRandom random = new SplittableRandom(1);
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
