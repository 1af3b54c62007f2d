package io.github.nf4j.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.op.Work;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/// What a machine can do at most, measured: no operation is faster than its [#nanos].
///
/// @param copyGbs    bytes read and written per nanosecond by a copy
/// @param readGbs    bytes read per nanosecond
/// @param fmaGflops  F32 fused multiply-adds, each counted as two; null where it is not known
/// @param bf16Gflops BF16 dot products; null where the processor has none
public record Floors(double copyGbs, double readGbs, Double fmaGflops, Double bf16Gflops) {
    /// Runs bench/native/floors.
    ///
    /// @param mebibytes to copy and read, several times the last-level cache
    /// @param seconds   for each of the figures
    public static Floors measure(Path driver, int threads, long mebibytes, double seconds) throws IOException {
        Process process = new ProcessBuilder(List.of(driver.toString(), Integer.toString(threads), Long.toString(mebibytes),
                Double.toString(seconds))).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        JsonNode json = new ObjectMapper().readTree(process.getInputStream());
        try {
            if (process.waitFor() != 0) {
                throw new IOException(driver + " failed with exit code " + process.exitValue());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while " + driver + " measured", e);
        }
        return new Floors(json.path("copy_gbs").asDouble(), json.path("read_gbs").asDouble(), orNull(json.get("fma_gflops")),
                orNull(json.get("bf16_gflops")));
    }

    private static Double orNull(JsonNode number) {
        return number == null || number.isNull() ? null : number.asDouble();
    }

    /// The time that memory alone takes: what is written goes at the speed of a copy together with as much that is read, the rest is
    /// read.
    public double memoryNanos(Work work) {
        double copied = 2 * Math.min(work.bytesRead(), work.bytesWritten());
        return copied / copyGbs + (work.bytes() - copied) / readGbs;
    }

    /// The time that arithmetic alone takes.
    ///
    /// @param bf16 whether the operation may use BF16 dot products
    public double computeNanos(Work work, boolean bf16) {
        Double peak = bf16 && bf16Gflops != null ? bf16Gflops : fmaGflops;
        return peak == null ? 0 : work.flops() / peak;
    }

    /// The least time in which the work can be done.
    public double nanos(Work work, boolean bf16) {
        return Math.max(memoryNanos(work), computeNanos(work, bf16));
    }
}
