package io.github.nf4j.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceInfo;
import io.github.nf4j.DeviceLostException;
import io.github.nf4j.Isa;
import io.github.nf4j.Nf4jException;
import io.github.nf4j.OutOfDeviceMemoryException;
import io.github.nf4j.internal.NativeLibrary;
import io.github.nf4j.train.MemoryPlan;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/// `nf4j doctor`.
@Command(name = "doctor", mixinStandardHelpOptions = true,
        description = "Shows what this installation can do: backends, instruction set, memory, and whether every operation computes "
                + "what the reference does. Exit code 1 if one does not.")
final class DoctorCommand implements Callable<Integer> {
    /// A model of 135 million parameters trains in a little more than this.
    private static final long LITTLE_MEMORY = 2L << 30;

    private static final Path NVIDIA_DRIVER = Path.of("/proc/driver/nvidia/version");

    @Spec
    private CommandSpec command;

    private final List<String> advice = new ArrayList<>();
    private boolean healthy = true;

    @Override
    public Integer call() {
        PrintWriter out = command.commandLine().getOut();
        out.printf("java         %s %s%n", Runtime.version(), System.getProperty("java.vm.name"));
        try {
            out.printf("library      %s%n", NativeLibrary.load());
        } catch (Nf4jException e) {
            problem(e.getMessage());
        }
        if (healthy) {
            probe(out);
            for (Backend backend : List.of(Backend.CPU, Backend.CUDA, Backend.SIMT)) {
                examine(backend, out);
            }
        }
        out.println();
        if (advice.isEmpty()) {
            out.println("No problem found.");
        } else {
            advice.forEach(line -> out.println("advice: " + line));
        }
        out.flush();
        return healthy ? 0 : 1;
    }

    private static void probe(PrintWriter out) {
        for (Backend backend : Backend.values()) {
            if (backend != Backend.AUTO) {
                String[] lines = Device.probe(backend).strip().split("\n");
                out.printf("%-12s %s%n", name(backend), String.join("%n             ".formatted(), lines));
            }
        }
        out.flush();
    }

    private void examine(Backend backend, PrintWriter out) {
        try (Device device = Device.open(backend)) {
            DeviceInfo info = device.info();
            out.printf("%n%s: %s of memory free of %s%n", info.name(), MemoryPlan.text(info.freeMemory()),
                    MemoryPlan.text(info.totalMemory()));
            out.flush();
            adviseOn(info);
            SelfCheck.run(device, result -> report(backend, result, out));
        } catch (BackendUnavailableException e) {
            adviseOnMissing(backend, e);
        } catch (OutOfDeviceMemoryException | DeviceLostException e) {
            problem("the " + name(backend) + " backend cannot be used: " + e.getMessage());
        }
    }

    private void adviseOn(DeviceInfo info) {
        if (info.backend() == Backend.CPU && info.isa() == Isa.GENERIC) {
            advice.add("no SIMD instruction set is in use: training will be slow. On x86, a processor with AVX2 is needed; in a "
                    + "virtual machine, ask for the host's processor model.");
        }
        if (info.freeMemory() < LITTLE_MEMORY) {
            advice.add("only " + MemoryPlan.text(info.freeMemory()) + " of memory is free: end other programs, or take smaller batches "
                    + "and shorter sequences (--batch-size, --max-length).");
        }
    }

    private void adviseOnMissing(Backend backend, BackendUnavailableException e) {
        switch (backend) {
            case CUDA -> {
                if (Files.exists(NVIDIA_DRIVER)) {
                    advice.add("this machine has an NVIDIA driver, but its GPU will not be used: " + e.getMessage());
                }
            }
            case CPU -> problem("the cpu backend cannot be opened: " + e.getMessage());
            default -> {
            } // simt is for those who develop kernels
        }
    }

    private void report(Backend backend, SelfCheck.Result result, PrintWriter out) {
        String verdict = result.passed() ? "ok" : result.failure() == null ? "WRONG" : "FAILED: " + result.failure();
        out.printf("  %-10s %-5s relative difference from reference %7.1e  %s%n", result.family(), result.dtype(), result.difference(),
                verdict);
        out.flush();
        if (!result.passed()) {
            problem(name(backend) + " computes " + result.family() + " in " + result.dtype() + " wrongly: train with --backend "
                    + "reference meanwhile, run `make test`, and report what it says with the lines above.");
        }
    }

    private void problem(String text) {
        healthy = false;
        advice.add(text);
    }

    private static String name(Backend backend) {
        return backend.name().toLowerCase(Locale.ROOT);
    }
}
