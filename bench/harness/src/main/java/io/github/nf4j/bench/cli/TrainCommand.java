package io.github.nf4j.bench.cli;

import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.bench.train.TrainingRun;
import java.io.IOException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
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

    @Mixin
    private ModelOptions model;

    @Mixin
    private BackendOptions where;

    @Option(names = "--base", defaultValue = "nf4", paramLabel = "nf4|none", description = "Quantization. Default: ${DEFAULT-VALUE}.")
    private Base base;

    @Option(names = "--compute", defaultValue = "f32", paramLabel = "f32|bf16", description = "Activations. Default: ${DEFAULT-VALUE}.")
    private DType compute;

    @Option(names = "--sequences", defaultValue = "1", paramLabel = "N", description = "Of a step. Default: ${DEFAULT-VALUE}.")
    private int sequences;

    @Option(names = "--tokens", defaultValue = "256", paramLabel = "N", description = "Of a sequence. Default: ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--steps", defaultValue = "5", paramLabel = "N",
            description = "Counted steps, after one more. Default: ${DEFAULT-VALUE}.")
    private int steps;

    enum Base {
        NF4, NONE
    }

    @Override
    public Integer call() throws IOException {
        if (sequences < 1 || steps < 1 || tokens < 2) {
            throw new ParameterException(spec.commandLine(), "--sequences and --steps must be at least 1, --tokens 2");
        }
        TrainingRun.Setup setup = new TrainingRun.Setup(model.model(), model.layers(), base == Base.NF4, compute, sequences, tokens, steps);
        try (Device device = where.openDevice()) {
            TrainingRun.Outcome outcome = TrainingRun.run(device, setup);
            spec.commandLine().getOut().println(JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build()
                    .writeValueAsString(outcome));
            spec.commandLine().getOut().flush();
        }
        return ExitCode.OK;
    }
}
