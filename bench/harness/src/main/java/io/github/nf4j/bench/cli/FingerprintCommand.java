package io.github.nf4j.bench.cli;

import io.github.nf4j.Device;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.run.Host;
import java.io.PrintWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/// `nf4j-bench fingerprint`.
@Command(name = "fingerprint", mixinStandardHelpOptions = true,
        description = "Says what this machine is. Results of different fingerprints are not compared.")
final class FingerprintCommand implements Runnable {
    @Spec
    private CommandSpec spec;

    @Mixin
    private BackendOptions where;

    @Override
    public void run() {
        PrintWriter out = spec.commandLine().getOut();
        try (Device device = where.openDevice()) {
            Machine machine = Host.machine(device.info());
            out.println(machine.fingerprint());
            out.printf("  processor   %s, %d cores, %s, %d MiB last-level cache%n", machine.cpu(), machine.cores(), machine.isa(),
                    machine.llcMb());
            out.printf("  memory      %d MiB%n", machine.ramMb());
            out.printf("  clock       %s%s%n", machine.governor() == null ? "governor not shown" : machine.governor(),
                    machine.virtual() ? ", virtual machine" : "");
            out.printf("  system      %s, kernel %s%n", machine.os(), machine.kernel());
            out.printf("  Java        %s %s %s%n", machine.jvm().vendor(), machine.jvm().version(), machine.jvm().flags());
        }
        out.flush();
    }
}
