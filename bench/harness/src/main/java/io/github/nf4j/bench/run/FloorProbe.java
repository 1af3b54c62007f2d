package io.github.nf4j.bench.run;

import io.github.nf4j.bench.result.CaseResult.Rate;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.bench.result.ResultFile.Floors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Measures the limits of the machine with bench/native/floors, and what they mean for a case.
public final class FloorProbe {
    private static final double NANOS_PER_MICRO = 1e3;

    private FloorProbe() {
    }

    /// @param cacheMb last-level cache, which the buffers exceed several times
    /// @return null if the driver is not built
    public static Floors measure(Checkout checkout, int threads, long cacheMb, double seconds) throws IOException {
        Path driver = checkout.driver("floors");
        if (!Files.isExecutable(driver)) {
            return null;
        }
        var floors = io.github.nf4j.train.Floors.measure(driver, threads, 8 * cacheMb, seconds);
        return new Floors(floors.copyGbs(), floors.readGbs(), floors.fmaGflops(), floors.bf16Gflops(), threads);
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
