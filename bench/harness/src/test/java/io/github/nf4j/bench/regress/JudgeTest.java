package io.github.nf4j.bench.regress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.regress.Judge.Judgement;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.stats.Verdict;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Real processes, as short as they can be: the rates at which the gate errs are what `nf4j-bench selftest` measures.
class JudgeTest {
    private static final WorkerPasses.Target TARGET = new WorkerPasses.Target(Backend.CPU, 1, Catalog.Suite.SMOKE, Scope.CALL, 1);
    private static final long NANOS = Duration.ofMillis(500).toNanos();

    @Test
    void aBuildIsNotSlowerThanItself() throws Exception {
        Judgement judgement = judge(Build.current("same"), 0, 0.25);
        assertNotNull(judgement.ratio(), judgement::toString);
        assertNotEquals(Verdict.SLOW, judgement.verdict(), judgement::toString);
        assertNotEquals(Verdict.FAST, judgement.verdict(), judgement::toString);
    }

    @Test
    void aSlowDownIsFoundAndConfirmed() throws Exception {
        Judgement judgement = judge(Build.current("slower"), 1.0, 0.05);
        assertEquals(Verdict.SLOW, judgement.verdict(), judgement::toString);
        assertTrue(judgement.passes().size() >= 2 && judgement.ratio().centre() > 1.5, judgement::toString);
    }

    @Test
    void aBuildThatDoesNotRunIsNoVerdict(@TempDir Path empty) throws Exception {
        Judgement judgement = judge(new Build("broken", null, empty), 0, 0.05);
        assertEquals(Verdict.AMBIGUOUS, judgement.verdict());
        assertTrue(judgement.failure().contains("broken: failed") && !judgement.wrong(), judgement::toString);
    }

    @Test
    void revisionsThatGitDoesNotKnowAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> Build.ofRevision(Checkout.current(), "no-such-revision"));
        assertThrows(IllegalArgumentException.class, () -> Build.ofRevision(Checkout.current(), "--help"));
    }

    private static Judgement judge(Build candidate, double spin, double threshold) throws Exception {
        BenchCase benchCase = Catalog.cases(Catalog.Suite.SMOKE, Scope.CALL).stream().filter(c -> c.op().equals("rope.forward")).findFirst()
                .orElseThrow();
        return new Judge(new WorkerPasses(Build.current("base"), candidate, TARGET, NANOS, spin), threshold).judge(benchCase);
    }
}
