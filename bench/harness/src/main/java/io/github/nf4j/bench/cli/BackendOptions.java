package io.github.nf4j.bench.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.bench.run.Checkout;
import java.util.Optional;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// Where operations run.
final class BackendOptions {
    @Spec(Spec.Target.MIXEE)
    private CommandSpec command;

    @Option(names = "--backend", defaultValue = "cpu", paramLabel = "cpu|reference|cuda|simt",
            description = "Where operations run. Default: ${DEFAULT-VALUE}.")
    private Backend backend;

    @Option(names = "--threads", defaultValue = "0", paramLabel = "N",
            description = "Threads of a host backend; 0 takes the cores that this process may use. Default: ${DEFAULT-VALUE}.")
    private int threads;

    Backend backend() {
        return backend;
    }

    /// As given: 0 stands for all cores.
    int threads() {
        if (threads < 0) {
            throw new ParameterException(command.commandLine(), "--threads is " + threads + "; expected at least 0");
        }
        return threads;
    }

    Device openDevice() {
        return Device.open(new DeviceOptions(backend, 0, threads(), Isa.AUTO));
    }

    /// Why it cannot be opened here, in one line; empty if it can.
    Optional<String> problem() {
        try (Device _ = openDevice()) {
            return Optional.empty();
        } catch (BackendUnavailableException e) {
            return Optional.of((backend == Backend.CUDA ? "no CUDA device: " : "")
                    + Checkout.current().relative(e.getMessage().lines().findFirst().orElse("")));
        }
    }
}
