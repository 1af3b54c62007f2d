package io.github.nf4j.bench.run;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.Machine;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CaseRunnerTest {
    private static Machine machine(long cacheMb) {
        return new Machine("box", "a processor", 2, "avx2", cacheMb, 1024, null, true, "Linux", "6", new Machine.Jvm("v", "25", ""));
    }

    private static List<CaseResult> run(BenchCase benchCase, long cacheMb, Scope scope) throws InterruptedException {
        try (Device device = Device.open(Backend.CPU);
                CaseRunner runner = new CaseRunner(device, machine(cacheMb), null, 1, Suite.FULL, scope)) {
            return runner.run(benchCase, PeerGroup.NONE, 1);
        }
    }

    /// 16 MiB a set. One that is larger than the cache is never warm, though it takes copies to be as large as two caches.
    @ParameterizedTest
    @CsvSource({"4, cold", "12, cold", "24, 'cold,warm'"})
    void aWarmRowIsThereWhereOneSetFitsTheCache(long cacheMb, String rows) throws InterruptedException {
        BenchCase copy = Catalog.cases(Suite.FULL).stream()
                .filter(one -> one.op().equals("memory.copy") && one.shapeText().equals("tinyllama-1.1b,m=1024,n=2048,f32")).findFirst()
                .orElseThrow();
        for (Scope scope : List.of(Scope.CALL, Scope.KERNEL)) {
            List<CaseResult> measured = run(copy, cacheMb, scope);
            assertEquals(rows, String.join(",", measured.stream().map(row -> row.key().cache()).toList()), measured::toString);
        }
    }
}
