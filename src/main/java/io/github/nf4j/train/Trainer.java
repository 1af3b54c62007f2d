package io.github.nf4j.train;

import io.github.nf4j.Stream;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.nn.Linear;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Seeds;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.AdamW;
import io.github.nf4j.optim.LrSchedule;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.LongStream;

/// Trains the adapters of a model, one optimizer step at a time.
///
/// The loss of a step is the mean over its trained tokens, whatever the number of micro-batches that they come in. Everything
/// random follows from the seed and the number of the step.
public final class Trainer implements AutoCloseable {
    private final LlamaModel model;
    private final Dataset data;
    private final Settings settings;
    private final Batches batches;
    private final TensorPool pool;
    private final AdamW optimizer;
    private boolean gradientsChecked;
    private boolean closed;

    /// How to train.
    ///
    /// @param steps        optimizer steps
    /// @param batchSize    sequences of a micro-batch
    /// @param gradAccum    micro-batches of an optimizer step
    /// @param learningRate peak rate
    /// @param schedule     how the rate goes over the steps
    /// @param weightDecay  decoupled decay
    /// @param maxGradNorm  the gradients' global L2 norm is clipped to this; 0 for no clipping
    /// @param shuffle      whether each epoch has an order of its own; else the file's
    /// @param seed         of order and dropout
    /// @param pagedMoments whether the optimizer's moments are in memory that a GPU fetches when it needs them
    public record Settings(int steps, int batchSize, int gradAccum, double learningRate, LrSchedule schedule, double weightDecay,
            double maxGradNorm, boolean shuffle, long seed, boolean pagedMoments) {
        public Settings {
            require(steps >= 1, "steps", steps, "at least 1");
            require(batchSize >= 1, "batch size", batchSize, "at least 1");
            require(gradAccum >= 1, "gradient accumulation", gradAccum, "at least 1");
            require(learningRate > 0 && Double.isFinite(learningRate), "learning rate", learningRate, "a number greater than 0");
            require(weightDecay >= 0 && Double.isFinite(weightDecay), "weight decay", weightDecay, "a number of at least 0");
            require(maxGradNorm >= 0 && Double.isFinite(maxGradNorm), "max-grad-norm", maxGradNorm, "a number of at least 0");
        }

        /// Moments in device memory.
        public Settings(int steps, int batchSize, int gradAccum, double learningRate, LrSchedule schedule, double weightDecay,
                        double maxGradNorm, boolean shuffle, long seed) {
            this(steps, batchSize, gradAccum, learningRate, schedule, weightDecay, maxGradNorm, shuffle, seed, false);
        }

        private static void require(boolean holds, String name, Object value, String expected) {
            if (!holds) {
                throw new IllegalArgumentException(name + " is " + value + "; expected " + expected);
            }
        }

        /// Batches of 4, a cosine without warm-up, no decay, clipping to 1, shuffled with the seed 42.
        public static Settings of(int steps, double learningRate) {
            return new Settings(steps, 4, 1, learningRate, new LrSchedule.Cosine(0, steps), 0, 1, true, 42);
        }
    }

    /// @param model with adapters; stays the caller's
    /// @throws IllegalArgumentException if the model has no adapters
    public Trainer(LlamaModel model, Dataset data, Settings settings) {
        if (model.parameters().isEmpty()) {
            throw new IllegalArgumentException("the model has no adapters to train; attach some");
        }
        this.model = model;
        this.data = data;
        this.settings = settings;
        this.batches = new Batches(data.examples(), settings.batchSize, settings.gradAccum, settings.shuffle, settings.seed);
        this.pool = new TensorPool(model.stream());
        this.optimizer = new AdamW(model.stream(), model.parameters(), AdamW.Settings.of(settings.weightDecay, settings.pagedMoments));
    }

    /// Optimizer steps that see every example `epochs` times, the last of them perhaps with some examples of the next epoch.
    public static int steps(Dataset data, double epochs, int batchSize, int gradAccum) {
        return new Batches(data.examples(), batchSize, gradAccum, false, 0).stepsOf(epochs);
    }

    public LlamaModel model() {
        return model;
    }

    public Settings settings() {
        return settings;
    }

    /// Optimizer steps taken so far.
    public int stepsTaken() {
        return (int) optimizer.steps();
    }

    public boolean done() {
        return stepsTaken() >= settings.steps;
    }

    /// The most bytes of activations and their gradients that there were at any moment.
    public long peakActivationBytes() {
        return pool.peakBytes();
    }

    /// Takes the next optimizer step.
    ///
    /// @throws IllegalStateException if it is closed, if the loss or the gradients are not finite, or, in the first step, if an
    ///                               adapter gets no gradient
    public StepMetrics step() {
        if (closed) { // the pool would take memory that nobody gives back
            throw new IllegalStateException("the trainer is closed");
        }
        long start = System.nanoTime();
        int step = stepsTaken();
        List<TokenBatch> microBatches = batches.step(step).stream().map(Batches::pack).toList();
        int trained = microBatches.stream().mapToInt(TokenBatch::trainedTokens).sum();
        optimizer.zeroGrad();
        double sum = 0;
        for (int i = 0; i < microBatches.size(); i++) {
            try (Tape tape = Tape.recording(pool)) {
                sum += model.loss(tape, microBatches.get(i), 1.0 / trained,
                        OptionalLong.of(Seeds.dropout(settings.seed, step, i)));
                tape.backward();
            }
        }
        double loss = sum / trained;
        requireFinite(loss, "loss", step);
        if (!gradientsChecked) {
            requireGradients();
            gradientsChecked = true;
        }
        double rate = settings.learningRate * settings.schedule.factor(step);
        double norm = optimizer.step(rate, settings.maxGradNorm);
        requireFinite(norm, "norm of the gradients", step);
        int tokens = microBatches.stream().mapToInt(TokenBatch::tokens).sum();
        return new StepMetrics(step + 1, loss, rate, norm, tokens, (System.nanoTime() - start) / 1e9);
    }

    private static void requireFinite(double value, String what, int step) {
        if (!Double.isFinite(value)) {
            throw new IllegalStateException("the " + what + " is " + value + " in step " + (step + 1)
                    + ": training has diverged; take a lower learning rate or a longer warm-up");
        }
    }

    /// A gradient that is all zero means that a module is cut off from the loss. B's is looked at first, because that of A is
    /// zero in the first step of a new adapter, where B is zero.
    private void requireGradients() {
        List<String> without = model.projections().stream()
                .filter(projection -> projection.adapter().map(a -> isZero(a.b()) && isZero(a.a())).orElse(false))
                .map(Linear::path).toList();
        if (!without.isEmpty()) {
            throw new IllegalStateException("no gradient reached the adapters of " + String.join(", ", without));
        }
    }

    private boolean isZero(Parameter parameter) {
        Stream stream = model.stream();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = HostTensors.read(stream, parameter.grad(), arena);
            return LongStream.range(0, floats.byteSize() / Float.BYTES)
                    .allMatch(i -> floats.getAtIndex(ValueLayout.JAVA_FLOAT, i) == 0);
        }
    }

    /// Loss on examples that are not trained on.
    public Evaluation evaluate(Dataset held) {
        return Evaluation.of(model, pool, held, settings.batchSize);
    }

    /// Replaces the checkpoint in a folder, from which [#resume] goes on.
    ///
    /// @param setup what the run depends on beside data and settings: the model, its quantization, the adapters' configuration
    public void writeCheckpoint(Path folder, String setup) throws IOException {
        Checkpoint.write(folder, model.stream(), optimizer, identity(setup));
    }

    /// Goes on where the checkpoint of a folder was written, with the same results as without the interruption.
    ///
    /// @param setup as the checkpoint was written with
    /// @throws java.nio.file.NoSuchFileException      if there is no checkpoint
    /// @throws io.github.nf4j.io.FileFormatException if it belongs to a run with other settings, data or setup
    public void resume(Path folder, String setup) throws IOException {
        int step = Checkpoint.step(folder, identity(setup));
        Checkpoint.restore(folder, model.stream(), optimizer, step);
    }

    private String identity(String setup) {
        return setup + ", compute " + model.compute() + ", " + settings + ", " + data.size() + " examples with hash "
                + Integer.toHexString(data.contentHash());
    }

    @Override
    public void close() {
        closed = true;
        optimizer.close();
        pool.close();
    }
}
