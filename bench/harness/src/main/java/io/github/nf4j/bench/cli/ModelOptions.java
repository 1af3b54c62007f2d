package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.cases.Models;
import io.github.nf4j.bench.cases.Models.Model;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// A model of a real size, whose weights are random.
final class ModelOptions {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--model", defaultValue = "smollm2-135m", paramLabel = "NAME",
            description = "smollm2-135m, tinyllama-1.1b or llama3-8b. Default: ${DEFAULT-VALUE}.")
    private String name;

    @Option(names = "--layers", paramLabel = "N", description = "Fewer layers than the model has.")
    private Integer layers;

    /// @throws ParameterException if there is none of that name, with the nearest names
    Model model() {
        return Models.ALL.stream().filter(one -> one.name().equals(name)).findFirst().orElseThrow(() -> {
            Set<String> names = Models.ALL.stream().map(Model::name).collect(Collectors.toCollection(TreeSet::new));
            return new ParameterException(command.commandLine(),
                    "--model " + name + ": no such model; " + Names.nearest(name, names));
        });
    }

    int layers() {
        if (layers != null && layers < 1) {
            throw new ParameterException(command.commandLine(), "--layers is " + layers + "; expected at least 1");
        }
        return layers == null ? model().layers() : layers;
    }
}
