package io.github.nf4j.bench.run;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.result.CaseResult.Rate;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.bench.result.ResultFile.Floors;
import io.github.nf4j.op.MemoryOps;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/// Measures the limits of the machine, and what they mean for a case.
public final class FloorProbe {
    private static final double NANOS_PER_MICRO = 1e3;
    private static final double SECONDS = 0.3; // for each figure
    private static final long GPU_BYTES = 1L << 29;

    private FloorProbe() {
    }

    /// With bench/native/floors, on as many threads as the device has. Of a GPU, the bandwidth of its own copy alone.
    ///
    /// @param cacheMb last-level cache, which the buffers exceed several times
    /// @return null if the driver is not built
    public static Floors measure(Checkout checkout, Device device, long cacheMb) throws IOException {
        int threads = Math.max(1, device.info().threads()); // a GPU says 0
        if (device.info().backend() == Backend.CUDA) {
            double copyGbs = copyGbs(device, GPU_BYTES);
            return new Floors(copyGbs, copyGbs, null, null, threads);
        }
        Path driver = checkout.driver("floors");
        if (!Files.isExecutable(driver)) {
            return null;
        }
        var floors = io.github.nf4j.train.Floors.measure(driver, threads, 8 * cacheMb, SECONDS);
        return new Floors(floors.copyGbs(), floors.readGbs(), floors.fmaGflops(), floors.bf16Gflops(), threads);
    }

    /// Bytes read and written in a nanosecond by the best of the copies that fit in the time.
    static double copyGbs(Device device, long bytes) {
        try (Stream stream = device.newStream();
                Tensor from = Tensor.allocate(device, DType.U8, 1, bytes);
                Tensor to = Tensor.allocate(device, DType.U8, 1, bytes)) {
            MemoryOps.fill(stream, 1, from);
            long best = Long.MAX_VALUE;
            long end = System.nanoTime() + (long) (SECONDS * Duration.ofSeconds(1).toNanos());
            do {
                stream.synchronize();
                long begin = System.nanoTime();
                MemoryOps.copy(stream, from, to);
                stream.synchronize();
                best = Math.min(best, System.nanoTime() - begin);
            } while (System.nanoTime() < end);
            return 2.0 * bytes / best;
        }
    }

    /// @param floors null leaves the floor out
    /// @param bf16   whether the operation may use BF16 dot products
    public static Rate rate(Work work, Floors floors, boolean bf16, double medianUs) {
        double gflops = work.flops() / medianUs / NANOS_PER_MICRO;
        double gbs = work.bytes() / medianUs / NANOS_PER_MICRO;
        if (floors == null) {
            return new Rate(gflops, gbs, null, null, null);
        }
        var limits = new io.github.nf4j.train.Floors(floors.copyGbs(), floors.readGbs(), floors.fmaGflops(), floors.bf16Gflops());
        var least = new io.github.nf4j.op.Work(work.flops(), work.bytesRead(), work.bytesWritten());
        double floorUs = limits.nanos(least, bf16) / NANOS_PER_MICRO;
        String bound = limits.computeNanos(least, bf16) > limits.memoryNanos(least) ? "compute" : "memory";
        return new Rate(gflops, gbs, floorUs, floorUs / medianUs, bound);
    }
}
