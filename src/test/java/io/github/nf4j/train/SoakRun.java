package io.github.nf4j.train;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Memory;
import io.github.nf4j.OutOfDeviceMemoryException;
import io.github.nf4j.Stream;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/// `make soak`: threads load, train and close models for as long as they are told. Native objects and resident memory must stay
/// as they are, and every round gives the same loss.
public final class SoakRun {
    private static final Dataset DATA = new Dataset(Path.of("memory"),
            List.of(new Example(new int[] {5, 6, 7, 8, 9}, new int[] {-100, 6, 7, 8, 9})), 0, 0);
    private static final int THREADS = 4;
    /// What the JIT compiler and malloc may still take in the second half of the time; the heap has its full size from the start.
    /// In a minute that is some thousand models, so that 8 KiB lost with each show; in an hour, 150 bytes.
    private static final long SLACK = 8L << 20;

    private SoakRun() {
    }

    /// @param arguments the interposer's library, the folder of a model, and seconds
    public static void main(String[] arguments) throws Throwable {
        MethodHandle live = Linker.nativeLinker().downcallHandle(
                SymbolLookup.libraryLookup(Path.of(arguments[0]), Arena.global()).findOrThrow("nf4j_fault_live"),
                FunctionDescriptor.of(ValueLayout.JAVA_LONG));
        long nanos = Long.parseLong(arguments[2]) * 1_000_000_000L;
        long start = System.nanoTime();
        try (PretrainedModel model = PretrainedModel.open(Path.of(arguments[1]));
                ExecutorService threads = Executors.newFixedThreadPool(THREADS)) {
            double expected = work(model);
            long objects = (long) live.invokeExact();
            int rounds = 0;
            long firstHalf = 0;
            long resident = 0;
            long elapsed;
            while ((elapsed = System.nanoTime() - start) < nanos || rounds < 3) {
                List<Callable<Double>> tasks = Collections.nCopies(THREADS, () -> work(model));
                for (Future<Double> loss : threads.invokeAll(tasks)) {
                    require(loss.get() == expected, "round " + rounds + ": the loss is " + loss.get() + ", not " + expected);
                }
                rounds++;
                long left = (long) live.invokeExact() - objects;
                require(left == 0, "round " + rounds + ": " + left + " native objects are left");
                resident = residentBytes();
                if (elapsed < nanos / 2) {
                    firstHalf = Math.max(firstHalf, resident);
                }
            }
            System.out.printf("%d rounds of %d threads, no native object left, resident memory %d MiB after half the time, "
                    + "%d at the end%n",
                    rounds, THREADS, firstHalf >> 20, resident >> 20);
            require(resident < firstHalf + SLACK, "resident memory grows");
        }
    }

    /// Everything from open to close, with an allocation that fails in between; the loss of the third step.
    private static double work(PretrainedModel source) {
        try (Device device = Device.open(new DeviceOptions(Backend.CPU, 0, 2, Isa.AUTO));
                Stream stream = device.newStream(1 << 20);
                LlamaModel model = source.load(stream, Quantization.nf4(), DType.F32)) {
            try {
                Memory.allocate(device, Long.MAX_VALUE / 2).close();
                throw new IllegalStateException("4 EiB were allocated");
            } catch (OutOfDeviceMemoryException expected) {
                Adapters.attach(model, PeftConfig.of(4, 8, 0, List.of("q_proj", "down_proj"), false, "model"), 1);
            }
            try (Trainer trainer = new Trainer(model, DATA, Trainer.Settings.of(3, 1e-3))) {
                trainer.step();
                trainer.step();
                return trainer.step().loss();
            }
        }
    }

    private static long residentBytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("\\D", "")) << 10;
            }
        }
        throw new IOException("/proc/self/status has no VmRSS");
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            System.out.println(otherwise);
            System.exit(1);
        }
    }
}
