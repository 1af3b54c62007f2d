package io.github.nf4j.bench.result;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.goals.Goal;
import io.github.nf4j.bench.goals.Goals;
import io.github.nf4j.bench.report.MarkdownReport;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.stats.Summary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What bench/native/gpu_bench writes is a result file as any other.
class GpuRowsTest {
    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void write() throws IOException, InterruptedException {
        file = folder.resolve("kernels.json");
        Process process = new ProcessBuilder(Checkout.current().driver("gpu_rows_sample").toString()).redirectOutput(file.toFile()).start();
        assertEquals(0, process.waitFor());
    }

    @Test
    void itFitsTheSchemaAndIsRead() throws IOException {
        assertEquals(Set.of(), ResultFilesTest.violations(Files.readString(file)));
        ResultFile result = ResultFiles.read(file);
        assertEquals("0123456789abcdef", result.code().gitSha());
        assertTrue(result.code().dirty() && !result.run().finished()); // one family failed
        assertEquals("a-gpu-compute-capability-9-0-driver-580", result.machine().fingerprint());
        assertEquals(700_000.0, result.floors().bf16Gflops());
        assertEquals(List.of("k=4096,m=1,n=14336", "k=4096,m=512,n=14336", "n=1000"),
                result.cases().stream().map(row -> row.id().split("/")[2]).distinct().toList());
        CaseResult product = result.cases().get(1);
        assertEquals("nf4.matmul/llama3-8b.gate/k=4096,m=512,n=14336/bf16/cuda/t0/kernel/cold", product.id());
        Summary expected = Summary.of(product.timing().samplesUs());
        assertEquals(expected.q1(), product.stats().q1(), 1e-3);
        assertEquals(expected.mad(), product.stats().mad(), 1e-3);
        assertEquals(expected.mean(), product.stats().mean(), 1e-3);
        assertEquals(expected.sd(), product.stats().sd(), 1e-3);
        assertEquals(0.9, product.rate().ofFloor(), 1e-3);
        assertEquals("compute", product.rate().bound());
        assertEquals("f32", result.cases().getLast().key().dtype());
    }

    @Test
    void cublasIsAPeerInTheReport() {
        ResultFile result = ResultFiles.read(file);
        Peer missing = result.cases().getFirst().peers().getFirst();
        assertEquals("no cuBLAS was found", missing.note());
        assertNull(missing.ratio());
        Peer cublas = result.cases().get(1).peers().getFirst();
        assertEquals("cuBLAS 13.0.2", cublas.version());
        assertEquals(1.25, cublas.ratio(), 1e-3);
        assertTrue(MarkdownReport.of(result).contains("cublas 1.250; dequantize + cublas 0.500"), () -> MarkdownReport.of(result));
    }

    @Test
    void wrongResultsHaveNoFigures() {
        CaseResult wrong = ResultFiles.read(file).cases().get(4);
        assertEquals(Status.VOID, wrong.status());
        assertNull(wrong.verify().value());
        assertTrue(wrong.timing() == null && wrong.stats() == null && wrong.peers().isEmpty(), wrong::toString);
    }

    /// Whatever does not need whole training steps.
    @Test
    void theGoalsOfAGpuAreJudgedByIt() throws IOException {
        List<Goal.Outcome> outcomes = Goals.of(Checkout.current()).judge(ResultFiles.read(file));
        assertEquals(List.of("floor", "cublas", "cublas", "dequantize + cublas", "nf4.matmul"),
                outcomes.stream().map(Goal.Outcome::peer).toList());
        assertEquals(List.of(false, false, true, true, true), outcomes.stream().map(Goal.Outcome::isMet).toList());
    }
}
