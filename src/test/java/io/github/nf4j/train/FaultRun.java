package io.github.nf4j.train;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceLostException;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Nf4jException;
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
import java.util.Arrays;
import java.util.List;

/// What [FaultsTest] runs in a JVM with the interposer: a model is loaded and trained, with every allocation of the native library, or
/// every launch, failing in turn. Each time it must end with the exception that says so and leave nothing behind.
public final class FaultRun {
    /// `nf4j_status`.
    private static final int DEVICE_LOST = 5;
    private static final int INTERNAL = 6;
    private static final Dataset DATA = new Dataset(Path.of("memory"),
            List.of(new Example(new int[] {5, 6, 7, 8, 9}, new int[] {-100, 6, 7, 8, 9})), 0, 0);

    private final MethodHandle allocationAt;
    private final MethodHandle allocations;
    private final MethodHandle launchAt;
    private final MethodHandle launches;
    private final MethodHandle live;

    /// A piece of work that closes everything it opened.
    @FunctionalInterface
    private interface Work {
        void run() throws Exception;
    }

    /// What fails: the n-th allocation, or the n-th launch with a status.
    private enum Fault {
        ALLOCATION(Backend.CPU, 0, OutOfDeviceMemoryException.class),
        LAUNCH(Backend.SIMT, INTERNAL, Nf4jException.class),
        DEVICE(Backend.SIMT, DEVICE_LOST, DeviceLostException.class);

        private final Backend backend;
        private final int status;
        private final Class<?> exception;

        Fault(Backend backend, int status, Class<?> exception) {
            this.backend = backend;
            this.status = status;
            this.exception = exception;
        }
    }

    private FaultRun(Path interposer) {
        SymbolLookup symbols = SymbolLookup.libraryLookup(interposer, Arena.global());
        Linker linker = Linker.nativeLinker();
        FunctionDescriptor count = FunctionDescriptor.of(ValueLayout.JAVA_LONG);
        allocationAt = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_at"), FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG));
        allocations = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_calls"), count);
        launchAt = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_driver_at"),
                FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));
        launches = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_driver_calls"), count);
        live = linker.downcallHandle(symbols.findOrThrow("nf4j_fault_live"), count);
    }

    /// @param arguments the interposer's library, the folder of a model, and the fault
    public static void main(String[] arguments) throws Throwable {
        FaultRun run = new FaultRun(Path.of(arguments[0]));
        Fault fault = Fault.valueOf(arguments[2]);
        try (PretrainedModel model = PretrainedModel.open(Path.of(arguments[1]))) {
            run.everyFault(fault, () -> work(model, fault.backend));
        }
    }

    /// Loads a model and takes a training step.
    private static void work(PretrainedModel source, Backend backend) {
        try (Device device = Device.open(new DeviceOptions(backend, 0, backend == Backend.CPU ? 2 : 0, Isa.AUTO));
                Stream stream = device.newStream(1 << 20);
                LlamaModel model = source.load(stream, Quantization.nf4(), DType.F32)) {
            Adapters.attach(model, PeftConfig.of(4, 8, 0, List.of("q_proj", "down_proj"), false, "model"), 1);
            try (Trainer trainer = new Trainer(model, DATA, Trainer.Settings.of(1, 1e-3))) {
                trainer.step();
            }
        }
    }

    private void everyFault(Fault fault, Work work) throws Throwable {
        work.run(); // whatever is made once for good is there now
        List<String> problems = new ArrayList<>();
        long n = 0;
        boolean reached = true;
        while (reached) {
            n++;
            long before = (long) live.invokeExact();
            arm(fault, n);
            String outcome = "done";
            try {
                work.run();
            } catch (Exception e) {
                // closing the pool waits for the device, and is told again that it is lost
                boolean right = e.getClass() == fault.exception
                        && Arrays.stream(e.getSuppressed()).allMatch(again -> again instanceof DeviceLostException);
                outcome = right ? "reported" : e + " " + Arrays.toString(e.getSuppressed());
            }
            reached = (fault == Fault.ALLOCATION ? (long) allocations.invokeExact() : (long) launches.invokeExact()) >= n;
            arm(fault, 0);
            long lost = (long) live.invokeExact() - before;
            if (lost != 0 || !outcome.equals(reached ? "reported" : "done")) {
                problems.add("fault " + n + ": " + outcome + ", " + lost + " pieces of memory lost");
            }
        }
        System.out.println(fault + ": " + (n - 1) + " faults, " + problems.size() + " problems");
        problems.stream().limit(20).forEach(System.out::println);
    }

    private void arm(Fault fault, long n) throws Throwable {
        if (fault == Fault.ALLOCATION) {
            allocationAt.invokeExact(n);
        } else {
            launchAt.invokeExact(n, fault.status);
        }
    }
}
