package io.github.nf4j.bench.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.bench.result.Machine;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class CaseRunnerTest {
    private static Machine machine(long cacheMb) {
        return new Machine("box", "a processor", 2, "avx2", cacheMb, 1024, null, true, "Linux", "6", new Machine.Jvm("v", "25", ""));
    }

    private static List<CaseResult> run(BenchCase benchCase, long cacheMb, Scope scope) throws InterruptedException {
        try (Device device = Device.open(Backend.CPU);
                CaseRunner runner = new CaseRunner(device, machine(cacheMb), cacheMb, null, 1, Suite.FULL, scope)) {
            return runner.run(benchCase, PeerGroup.NONE, 1);
        }
    }

    /// 16 MiB a set. One that is larger than the cache is never warm, though it takes copies to be as large as two caches.
    @ParameterizedTest
    @CsvSource({"4, cold", "12, cold", "24, 'cold,warm'"})
    void aWarmRowIsThereWhereOneSetFitsTheCache(long cacheMb, String rows) throws InterruptedException {
        BenchCase copy = Catalog.cases(Suite.FULL, Scope.CALL).stream()
                .filter(one -> one.op().equals("memory.copy") && one.shapeText().equals("tinyllama-1.1b,m=1024,n=2048,f32")).findFirst()
                .orElseThrow();
        for (Scope scope : List.of(Scope.CALL, Scope.KERNEL)) {
            List<CaseResult> measured = run(copy, cacheMb, scope);
            assertEquals(rows, String.join(",", measured.stream().map(row -> row.key().cache()).toList()), measured::toString);
        }
    }

    /// The row says what went wrong, and the run goes on.
    @ParameterizedTest
    @EnumSource(value = Scope.class, names = {"CALL", "LOAD"})
    void aCaseThatCannotBePreparedIsSkipped(Scope scope) throws InterruptedException {
        BenchCase broken = new BenchCase("load.nothing", "model", Map.of("n", 1L), DType.F32, new Work(0, 1, 0), 1, null, List.of(),
                buffers -> {
                    throw new UncheckedIOException(new NoSuchFileException("model.gguf"));
                });
        CaseResult row = run(broken, 4, scope).getFirst();
        assertEquals(Status.SKIPPED, row.status());
        assertTrue(row.note().contains("model.gguf"), row::note);
    }

    @Test
    void theBandwidthOfADevicesOwnCopyIsAFloor() {
        try (Device device = Device.open(Backend.CPU)) {
            double copyGbs = FloorProbe.copyGbs(device, 1 << 20);
            assertTrue(copyGbs > 0.01 && copyGbs < 10_000, () -> copyGbs + " GB/s");
        }
    }
}
