package io.github.nf4j.bench.run;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.bench.result.CaseResult.Rate;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.bench.result.ResultFile.Floors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// Measures the limits of the machine with bench/native/floors, and what they mean for a case.
public final class FloorProbe {
    private FloorProbe() {
    }

    /// @param cacheMb last-level cache, which the buffers exceed several times
    /// @return null if the driver is not built
    public static Floors measure(Checkout checkout, int threads, long cacheMb, double seconds) throws IOException, InterruptedException {
        Path driver = checkout.driver("floors");
        if (!Files.isExecutable(driver)) {
            return null;
        }
        Process process = new ProcessBuilder(List.of(driver.toString(), Integer.toString(threads), Long.toString(8 * cacheMb),
                Double.toString(seconds))).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        JsonNode json = new ObjectMapper().readTree(process.getInputStream());
        if (process.waitFor() != 0) {
            throw new IOException(driver + " failed with exit code " + process.exitValue());
        }
        return new Floors(json.path("copy_gbs").asDouble(), json.path("read_gbs").asDouble(), doubleOrNull(json.get("fma_gflops")),
                doubleOrNull(json.get("bf16_gflops")), threads);
    }

    private static Double doubleOrNull(JsonNode node) {
        return node == null || node.isNull() ? null : node.asDouble();
    }

    /// @param floors null leaves the floor out
    /// @param bf16   whether the operation may use BF16 dot products
    public static Rate rate(Work work, Floors floors, boolean bf16, double medianUs) {
        double gflops = work.flops() / medianUs / 1e3;
        double gbs = work.bytes() / medianUs / 1e3;
        if (floors == null) {
            return new Rate(gflops, gbs, null, null, null);
        }
        // What is written goes at the speed of a copy together with as much that is read; the rest is read.
        double copied = 2 * Math.min(work.bytesRead(), work.bytesWritten());
        double memoryUs = copied / floors.copyGbs() / 1e3 + (work.bytes() - copied) / floors.readGbs() / 1e3;
        Double peak = bf16 && floors.bf16Gflops() != null ? floors.bf16Gflops() : floors.fmaGflops();
        double computeUs = peak == null ? 0 : work.flops() / peak / 1e3;
        double floor = Math.max(memoryUs, computeUs);
        return new Rate(gflops, gbs, floor, floor / medianUs, computeUs > memoryUs ? "compute" : "memory");
    }
}
