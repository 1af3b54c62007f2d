package io.github.nf4j.bench.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.bench.cases.Models;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.train.StepRace;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
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

    @Option(names = "--model", defaultValue = "tinyllama-1.1b", paramLabel = "NAME",
            description = "smollm2-135m, tinyllama-1.1b or llama3-8b. Default: ${DEFAULT-VALUE}.")
    private String model;

    @Option(names = "--backend", defaultValue = "auto", paramLabel = "NAME", description = "Where they run. Default: ${DEFAULT-VALUE}.")
    private Backend backend;

    @Option(names = "--compute", defaultValue = "bf16", paramLabel = "f32|bf16", description = "Activations. Default: ${DEFAULT-VALUE}.")
    private DType compute;

    @Option(names = "--layers", paramLabel = "N", description = "Fewer layers than the model has.")
    private Integer layers;

    @Option(names = "--tokens", split = ",", defaultValue = "512,1024,2048,4096,8192", paramLabel = "N",
            description = "Of a step, in sequences of 512. Default: ${DEFAULT-VALUE}.")
    private List<Integer> tokens;

    @Option(names = "--steps", defaultValue = "5", paramLabel = "N", description = "Counted steps of each. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Override
    public Integer call() {
        Model chosen = Models.ALL.stream().filter(one -> one.name().equals(model)).findFirst()
                .orElseThrow(() -> refused("--model " + model + ": no such model; "
                        + CaseOptions.nearest(model, Models.ALL.stream().map(Model::name).collect(Collectors.toSet()))));
        if (steps < 1 || layers != null && layers < 1 || tokens.stream().anyMatch(count -> count < 2)) {
            throw refused("--steps and --layers must be at least 1, --tokens 2");
        }
        PrintWriter out = spec.commandLine().getOut();
        ObjectMapper json = JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build();
        try (Device device = Device.open(new DeviceOptions(backend, 0, 0, Isa.AUTO))) {
            StepRace.run(device, chosen, layers == null ? chosen.layers() : layers, compute, tokens, steps, outcome -> {
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

    private ParameterException refused(String text) {
        return new ParameterException(spec.commandLine(), text);
    }
}
