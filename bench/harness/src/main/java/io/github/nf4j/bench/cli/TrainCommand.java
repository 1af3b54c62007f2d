package io.github.nf4j.bench.cli;

import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.bench.cases.Models;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.train.TrainingRun;
import java.io.IOException;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench train`.
@Command(name = "train", mixinStandardHelpOptions = true,
        description = "Times whole training steps (LoRA or QLoRA, rank 16 on all seven projections) on random weights of a real size, as one "
                + "line of JSON. compare-training runs it beside PEFT and bitsandbytes.")
final class TrainCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Option(names = "--model", defaultValue = "smollm2-135m", paramLabel = "NAME",
            description = "smollm2-135m, tinyllama-1.1b or llama3-8b. Default: ${DEFAULT-VALUE}.")
    private String model;

    @Option(names = "--base", defaultValue = "nf4", paramLabel = "nf4|none", description = "Quantization. Default: ${DEFAULT-VALUE}.")
    private Base base;

    @Option(names = "--compute", defaultValue = "f32", paramLabel = "f32|bf16", description = "Activations. Default: ${DEFAULT-VALUE}.")
    private DType compute;

    @Option(names = "--layers", paramLabel = "N", description = "Fewer layers than the model has.")
    private Integer layers;

    @Option(names = "--sequences", defaultValue = "1", paramLabel = "N", description = "Of a step. Default: ${DEFAULT-VALUE}.")
    private int sequences;

    @Option(names = "--tokens", defaultValue = "256", paramLabel = "N", description = "Of a sequence. Default: ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--steps", defaultValue = "5", paramLabel = "N",
            description = "Counted steps, after one more. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Option(names = "--threads", defaultValue = "0", paramLabel = "N", description = "0 takes the cores that this process may use.")
    private int threads;

    private enum Base {
        NF4, NONE
    }

    @Override
    public Integer call() throws IOException {
        Model chosen = Models.ALL.stream().filter(one -> one.name().equals(model)).findFirst().orElseThrow(() -> {
            Set<String> names = Models.ALL.stream().map(Model::name).collect(Collectors.toCollection(TreeSet::new));
            return new ParameterException(spec.commandLine(), "--model " + model + ": no such model; " + CaseOptions.nearest(model, names));
        });
        int depth = layers == null ? chosen.layers() : layers;
        for (int[] size : new int[][] {{depth, 1}, {sequences, 1}, {tokens, 2}, {steps, 1}, {threads + 1, 1}}) {
            if (size[0] < size[1]) {
                throw new ParameterException(spec.commandLine(),
                        "--layers, --sequences and --steps must be at least 1, --tokens 2, --threads 0");
            }
        }
        try (Device device = Device.open(new DeviceOptions(Backend.CPU, 0, threads, Isa.AUTO))) {
            TrainingRun.Outcome outcome = TrainingRun.run(device,
                    new TrainingRun.Setup(chosen, depth, base == Base.NF4, compute, sequences, tokens, steps));
            spec.commandLine().getOut().println(JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build()
                    .writeValueAsString(outcome));
            spec.commandLine().getOut().flush();
        }
        return ExitCode.OK;
    }
}
