package io.github.nf4j.bench.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.bench.train.StepRace;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench race`.
@Command(name = "race", mixinStandardHelpOptions = true,
        description = "Times QLoRA steps beside LoRA steps on the unquantized base of the same model (random weights of a real size, "
                + "rank 16 on all seven projections), in turns: one line of JSON for each number of tokens.")
final class RaceCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private ModelOptions model;

    @Mixin
    private BackendOptions where;

    @Option(names = "--compute", defaultValue = "bf16", paramLabel = "f32|bf16", description = "Activations. Default: ${DEFAULT-VALUE}.")
    private DType compute;

    @Option(names = "--tokens", split = ",", defaultValue = "512,1024,2048,4096,8192", paramLabel = "N",
            description = "Of a step, in sequences of 512. Default: ${DEFAULT-VALUE}.")
    private List<Integer> tokens;

    @Option(names = "--steps", defaultValue = "5", paramLabel = "N", description = "Counted steps of each. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Override
    public Integer call() {
        if (steps < 1 || tokens.stream().anyMatch(count -> count < 2)) {
            throw new ParameterException(spec.commandLine(), "--steps must be at least 1, --tokens 2");
        }
        PrintWriter out = spec.commandLine().getOut();
        ObjectMapper json = JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build();
        try (Device device = where.openDevice()) {
            StepRace.run(device, model.model(), model.layers(), compute, tokens, steps, outcome -> {
                try {
                    out.println(json.writeValueAsString(outcome));
                } catch (JsonProcessingException e) {
                    throw new UncheckedIOException(e);
                }
                out.flush();
            });
        }
        return ExitCode.OK;
    }
}
