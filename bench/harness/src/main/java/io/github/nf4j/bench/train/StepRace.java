package io.github.nf4j.bench.train;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.cases.SyntheticModel;
import io.github.nf4j.bench.stats.Summary;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.AdamW;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/// A QLoRA step beside a LoRA step of the same model on weights that are not quantized: both models are loaded, and the two take
/// turns.
public final class StepRace {
    private static final int WARM_UP = 2;
    /// Sequences of this length fill a step.
    private static final int SEQUENCE = 512;

    private StepRace() {
    }

    /// @param qloraSeconds of each step
    /// @param loraSeconds  likewise
    /// @param ratio        median of the first over median of the second
    /// @param met          whether a QLoRA step takes no longer
    public record Outcome(String model, int layers, String compute, int tokens, double[] qloraSeconds, double[] loraSeconds, double ratio,
            boolean met) {
    }

    /// @param tokens of a step; one outcome for each
    /// @param steps  that are counted, after two more
    public static void run(Device device, Model model, int layers, DType compute, List<Integer> tokens, int steps,
                           Consumer<Outcome> listener) {
        TrainingRun.Setup setup = new TrainingRun.Setup(model, layers, true, compute, 1, 2, steps);
        try (Stream stream = device.newStream();
                Runner qlora = new Runner(stream, setup, Quantization.nf4());
                Runner lora = new Runner(stream, setup, Quantization.none())) {
            for (int count : tokens) {
                int length = Math.min(count, SEQUENCE);
                TokenBatch batch = TrainingRun.batch(new TrainingRun.Setup(model, layers, true, compute, count / length, length, steps));
                List<Double> qloraSeconds = new ArrayList<>();
                List<Double> loraSeconds = new ArrayList<>();
                for (int step = 0; step < WARM_UP + steps; step++) {
                    boolean swapped = step % 2 == 1;
                    double first = (swapped ? lora : qlora).step(batch);
                    double second = (swapped ? qlora : lora).step(batch);
                    if (step >= WARM_UP) {
                        qloraSeconds.add(swapped ? second : first);
                        loraSeconds.add(swapped ? first : second);
                    }
                }
                double[] ours = array(qloraSeconds);
                double[] theirs = array(loraSeconds);
                double ratio = Summary.of(ours).median() / Summary.of(theirs).median();
                listener.accept(new Outcome(model.name(), layers, compute.name(), batch.tokens(), ours, theirs, ratio, ratio <= 1));
            }
        }
    }

    private static double[] array(List<Double> values) {
        return values.stream().mapToDouble(Double::doubleValue).toArray();
    }

    private static final class Runner implements AutoCloseable {
        private final LlamaModel model;
        private final TensorPool pool;
        private final AdamW optimizer;

        private Runner(Stream stream, TrainingRun.Setup setup, Quantization quantization) {
            SyntheticModel weights = new SyntheticModel(setup.model(), setup.layers(), TrainingRun.SEED);
            model = LlamaModel.load(stream, weights.config(), weights, quantization, setup.compute());
            TrainingRun.attachAdapters(model);
            pool = new TensorPool(stream);
            optimizer = new AdamW(stream, model.parameters(), AdamW.Settings.of(0));
        }

        private double step(TokenBatch batch) {
            return TrainingRun.step(model, pool, optimizer, batch).seconds();
        }

        @Override
        public void close() {
            optimizer.close();
            pool.close();
            model.close();
        }
    }
}
