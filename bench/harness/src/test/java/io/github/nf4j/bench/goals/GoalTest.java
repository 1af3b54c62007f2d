package io.github.nf4j.bench.goals;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.report.GoalReport;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.Samples;
import io.github.nf4j.bench.stats.Summary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GoalTest {
    private static final Goal GOAL = new Goal("as fast as the best", Pattern.compile("^nf4"), null, 4, null, List.of("a", "b"), 1.05);

    @Test
    void theFastestOfTheNamedPeersCounts() {
        Goal.Outcome met = judge(row(Status.OK, peer("a", 0.9), peer("b", 1.04), peer("other", 5.0)));
        assertEquals("b", met.best().name());
        assertTrue(met.isMet());
        assertFalse(judge(row(Status.OK, peer("a", 0.9), peer("b", 1.06))).isMet());
    }

    @Test
    void whatWasNotMeasuredIsNotMet() {
        Peer missing = new Peer("a", null, "not installed", null, null, null);
        Goal.Outcome outcome = judge(row(Status.OK, missing));
        assertFalse(outcome.isMet());
        assertEquals("a: not installed", outcome.note());
        assertTrue(judge(row(Status.OK, missing, peer("b", 1.0))).isMet());
        assertFalse(judge(row(Status.OK)).isMet());
        String table = GoalReport.of(List.of(outcome, judge(row(Status.OK, peer("a", 1.0)))));
        assertTrue(table.contains("not measured: a: not installed") && table.endsWith("1 of 2 goals met\n"), table);
    }

    @Test
    void rowsThatAGoalIsNotForHaveNone() {
        assertEquals(List.of(), Goal.judge(List.of(GOAL), List.of(Samples.row("dense.matmul", 1, 2))));
        Goal larger = new Goal("large", Pattern.compile("^nf4"), null, 5, null, List.of("a"), 1);
        Goal other = new Goal("bf16", Pattern.compile("^nf4"), "bf16", 1, null, List.of("a"), 1);
        assertEquals(List.of(), Goal.judge(List.of(larger, other), List.of(row(Status.OK))));
    }

    @Test
    void everyGoalOfTheProjectHasRowsInTheSuiteLimitsAndTheirPeers() throws IOException {
        for (Goal goal : Goal.read(Path.of(System.getProperty("nf4j.root"), "bench/goals.json"))) {
            List<BenchCase> cases = Catalog.cases(Catalog.Suite.LIMITS).stream().filter(c -> goal.op().matcher(c.op()).find())
                    .filter(c -> c.dims().get("m") >= goal.mFrom()).toList();
            assertFalse(cases.isEmpty(), goal.name());
            for (BenchCase benchCase : cases) {
                assertTrue(benchCase.gemm() != null || benchCase.beside().stream().anyMatch(other -> goal.peers().contains(other.op())),
                        goal.name());
            }
        }
    }

    @Test
    void aFileWithASlipIsRefused(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("goals.json"), "[{\"name\": \"x\", \"ops\": \"y\"}]");
        assertThrows(IOException.class, () -> Goal.read(file));
    }

    private static Goal.Outcome judge(CaseResult row) {
        return Goal.judge(List.of(GOAL), List.of(row)).getFirst();
    }

    private static CaseResult row(Status status, Peer... peers) {
        CaseResult row = Samples.row("nf4.matmul", status, null, 1, 2, 3);
        return new CaseResult(row.id(), row.key(), row.repro(), row.status(), row.note(), row.work(), row.verify(), row.timing(),
                row.stats(),
                row.rate(), List.of(peers));
    }

    private static Peer peer(String name, double ratio) {
        return new Peer(name, null, null, new double[] {1}, Summary.of(1), ratio);
    }
}
