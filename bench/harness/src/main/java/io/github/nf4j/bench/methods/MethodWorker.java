package io.github.nf4j.bench.methods;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Stream;
import io.github.nf4j.bench.train.TrainingRun;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.LrSchedule;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.Dataset;
import io.github.nf4j.train.Evaluation;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.PretrainedModel;
import io.github.nf4j.train.Trainer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;

/// A process that measures one method, so that its peak memory is its own, and prints a line of JSON.
public final class MethodWorker {
    private static final int SEED = 1;
    private static final int MAX_LENGTH = 1024;
    private static final List<String> MODULES = List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");

    private MethodWorker() {
    }

    /// @param arguments method, model, rank, threads; then `steps`, length and count, or `loss`, data, held-out data, steps, batch size and
    ///                  learning rate
    public static void main(String[] arguments) throws IOException {
        ObjectNode result = JsonNodeFactory.instance.objectNode();
        Method method = Method.valueOf(arguments[0]);
        int rank = Integer.parseInt(arguments[2]);
        try (PretrainedModel pretrained = PretrainedModel.open(Path.of(arguments[1]));
                Device device = Device.open(new DeviceOptions(Backend.CPU, 0, Integer.parseInt(arguments[3]), Isa.AUTO));
                Stream stream = device.newStream()) {
            PeftConfig lora = PeftConfig.of(rank, 2 * rank, 0, MODULES, false, arguments[1]);
            boolean steps = arguments[4].equals("steps");
            long tokens = steps ? Integer.parseInt(arguments[5]) : (long) Integer.parseInt(arguments[8]) * MAX_LENGTH;
            MemoryPlan plan = MemoryPlan.forTraining(pretrained, method.quantization(), method.compute(), lora, tokens);
            if (steps) {
                plan.requireFits(device.info().freeMemory());
            }
            try (LlamaModel model = pretrained.load(stream, method.quantization(), method.compute())) {
                Adapters.attach(model, lora, SEED);
                result.put("weight_bytes", model.weightMemory().bytes());
                if (steps) {
                    step(model, Integer.parseInt(arguments[5]), Integer.parseInt(arguments[6]), result);
                } else {
                    train(pretrained, model, List.of(arguments).subList(5, arguments.length), result);
                }
            }
        } catch (IllegalStateException e) { // it does not fit, or diverged
            result.put("failure", e.getMessage());
        }
        result.put("peak_bytes", TrainingRun.peakBytes());
        System.out.println(result);
    }

    private static void step(LlamaModel model, int length, int count, ObjectNode result) throws IOException {
        int[] ids = new SplittableRandom(SEED).ints(length, 0, model.config().vocabularySize()).toArray();
        var seconds = result.putArray("seconds");
        TrainingRun.steps(model, TokenBatch.of(List.of(ids), List.of(ids)), count).steps().forEach(step -> seconds.add(step.seconds()));
    }

    private static void train(PretrainedModel pretrained, LlamaModel model, List<String> arguments, ObjectNode result) throws IOException {
        Dataset data = Dataset.read(Path.of(arguments.get(0)), pretrained.exampleEncoder(), MAX_LENGTH);
        Dataset held = Dataset.read(Path.of(arguments.get(1)), pretrained.exampleEncoder(), MAX_LENGTH);
        int steps = Integer.parseInt(arguments.get(2));
        int batchSize = Integer.parseInt(arguments.get(3));
        result.put("before", Evaluation.of(model, held, batchSize).loss());
        try (Trainer trainer = new Trainer(model, data, new Trainer.Settings(steps, batchSize, 1, Double.parseDouble(arguments.get(4)),
                new LrSchedule.Cosine(Math.ceilDiv(steps, 20), steps), 0, 1, true, SEED))) {
            while (!trainer.done()) {
                trainer.step();
            }
            result.put("after", trainer.evaluate(held).loss());
        }
    }
}
