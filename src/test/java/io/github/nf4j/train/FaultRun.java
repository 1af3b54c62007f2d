package io.github.nf4j.train;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.OutOfDeviceMemoryException;
import io.github.nf4j.Stream;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// What [FaultsTest] runs in a JVM with the interposer: whole pieces of work, with every allocation of the native library failing in
/// turn. Each must end with [OutOfDeviceMemoryException] and leave nothing behind.
public final class FaultRun {
    private static final Dataset DATA = new Dataset(Path.of("memory"),
            List.of(new Example(new int[] {5, 6, 7, 8, 9}, new int[] {-100, 6, 7, 8, 9})), 0, 0);

    private final MethodHandle faultAt;
    private final MethodHandle calls;
    private final MethodHandle live;

    /// A piece of work that closes everything it opened.
    @FunctionalInterface
    private interface Work {
        void run() throws Exception;
    }

    private FaultRun(Path interposer) {
        SymbolLookup symbols = SymbolLookup.libraryLookup(interposer, Arena.global());
        Linker linker = Linker.nativeLinker();
        FunctionDescriptor count = FunctionDescriptor.of(ValueLayout.JAVA_LONG);
        faultAt = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_at"), FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG));
        calls = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_calls"), count);
        live = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_live"), count);
    }

    /// @param arguments the interposer's library and the folder of a model
    public static void main(String[] arguments) throws Throwable {
        FaultRun run = new FaultRun(Path.of(arguments[0]));
        try (PretrainedModel model = PretrainedModel.open(Path.of(arguments[1]))) {
            run.everyFault("loading a model", () -> work(model, false));
            run.everyFault("a training step", () -> work(model, true));
        }
    }

    private static void work(PretrainedModel source, boolean train) {
        try (Device device = Device.open(new DeviceOptions(Backend.CPU, 0, 2, Isa.AUTO));
                Stream stream = device.newStream(1 << 20);
                LlamaModel model = source.load(stream, Quantization.nf4(), DType.F32)) {
            if (train) {
                Adapters.attach(model, PeftConfig.of(4, 8, 0, List.of("q_proj", "down_proj"), false, "model"), 1);
                try (Trainer trainer = new Trainer(model, DATA, Trainer.Settings.of(1, 1e-3))) {
                    trainer.step();
                }
            }
        }
    }

    private void everyFault(String name, Work work) throws Throwable {
        work.run(); // whatever is made once for good is there now
        List<String> problems = new ArrayList<>();
        long n = 0;
        boolean reached = true;
        while (reached) {
            n++;
            long before = (long) live.invokeExact();
            faultAt.invokeExact(n);
            String outcome = "done";
            try {
                work.run();
            } catch (OutOfDeviceMemoryException e) {
                outcome = "out of memory";
            } catch (Exception e) {
                outcome = e.toString();
            }
            reached = (long) calls.invokeExact() >= n;
            faultAt.invokeExact(0L);
            long lost = (long) live.invokeExact() - before;
            if (lost != 0 || !outcome.equals(reached ? "out of memory" : "done")) {
                problems.add("allocation " + n + ": " + outcome + ", " + lost + " pieces of memory lost");
            }
        }
        System.out.println(name + ": " + (n - 1) + " allocations, " + problems.size() + " problems");
        problems.stream().limit(20).forEach(System.out::println);
    }
}
