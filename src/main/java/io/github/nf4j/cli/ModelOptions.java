package io.github.nf4j.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.nn.Quantization;
import java.nio.file.Path;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// The options of every command that runs a model.
final class ModelOptions {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--model", required = true, paramLabel = "DIR|FILE.gguf",
            description = "The model: a Hugging Face folder with config.json and safetensors, or a GGUF file.")
    Path path;

    @Option(names = "--compute", defaultValue = "auto", paramLabel = "auto|f32|bf16",
            description = "Type of the activations. auto: f32 on the host. Default: ${DEFAULT-VALUE}.")
    private Compute compute;

    @Option(names = "--backend", defaultValue = "auto", paramLabel = "auto|cpu|reference|cuda|simt",
            description = "Where operations run; see nf4j doctor. Default: ${DEFAULT-VALUE}.")
    private Backend backend;

    @Option(names = "--threads", defaultValue = "0", paramLabel = "N",
            description = "Threads of a host backend; 0 takes the cores that this process may use. Default: ${DEFAULT-VALUE}.")
    private int threads;

    private enum Compute {
        AUTO, F32, BF16
    }

    /// What `--quantize` takes. Its default differs between commands.
    enum QuantizeOption {
        NF4, NONE;

        Quantization quantization() {
            return this == NF4 ? Quantization.nf4() : Quantization.none();
        }
    }

    Device openDevice() {
        if (threads < 0) {
            throw new CommandLine.ParameterException(command.commandLine(), "--threads is " + threads + "; expected at least 0");
        }
        return Device.open(new DeviceOptions(backend, 0, threads, Isa.AUTO));
    }

    DType compute(Device device) {
        return switch (compute) {
            case F32 -> DType.F32;
            case BF16 -> DType.BF16;
            case AUTO -> device.isHostAccessible() ? DType.F32 : DType.BF16;
        };
    }
}
