package io.github.nf4j.bench.goals;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.peers.PeerLibrary;
import io.github.nf4j.bench.report.GoalReport;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.Samples;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.stats.Summary;
import io.github.nf4j.bench.train.TrainingContender;
import java.io.IOException;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class GoalTest {
    private static final Goal GOAL = goal("^nf4", null, null, 4, null, "a", "b");

    @Test
    void theFastestOfTheNamedPeersCounts() {
        Goal.Outcome met = judge(row(Status.OK, peer("a", 0.9), peer("b", 1.04), peer("other", 5.0)));
        assertEquals("b", met.peer());
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
        Goal larger = goal("^nf4", null, null, 5, null, "a");
        Goal other = goal("^nf4", null, "bf16", 1, null, "a");
        assertEquals(List.of(), Goal.judge(List.of(larger, other), List.of(row(Status.OK))));
    }

    @Test
    void memoryIsComparedWithTheLeast() {
        Goal goal = goal("^train", null, null, 0, Goal.Measure.MEMORY, "a", "b");
        CaseResult row = Samples.steps(300, Samples.stepPeer("a", 400), Samples.stepPeer("b", 250), Samples.stepPeer("other", 1));
        Goal.Outcome outcome = Goal.judge(List.of(goal), List.of(row)).getFirst();
        assertEquals("b", outcome.peer());
        assertEquals(1.2, outcome.ratio(), 1e-12);
        assertFalse(outcome.isMet());
        assertTrue(GoalReport.of(List.of(outcome)).contains("| b 250 MiB | 300 MiB | 1.200 |"), () -> GoalReport.of(List.of(outcome)));
        assertTrue(Goal.judge(List.of(goal), List.of(Samples.steps(200, Samples.stepPeer("b", 250)))).getFirst().isMet());
    }

    @Test
    void theFloorMayBeThePeer() {
        Goal.Outcome outcome = Goal.judge(List.of(goal("^nf4", null, null, 4, null, "floor")), List.of(row(Status.OK))).getFirst();
        assertEquals("floor", outcome.peer());
        assertEquals(4, outcome.ratio(), 1e-12); // the row reaches a quarter of it
    }

    @Test
    void goalsOfAnotherBackendAreNotMeasurableAndDoNotCount() {
        Goal gpu = goal("^nf4", "cuda", null, 4, null, "a");
        List<Goal.Outcome> outcomes = Goal.judge(List.of(GOAL, gpu), List.of(row(Status.OK, peer("a", 1.0))));
        assertEquals(2, outcomes.size());
        assertFalse(outcomes.getLast().isMeasurable() || outcomes.getLast().isMet());
        String table = GoalReport.of(outcomes);
        assertTrue(table.contains("not measurable here: no GPU")
                && table.endsWith("1 more goals are not measurable here\n\n1 of 1 goals met\n"), table);
    }

    @Test
    void everyGoalOfTheProjectHasRowsInTheSuiteLimitsAndTheirPeers() throws IOException {
        List<String> libraries = PeerLibrary.BLAS.stream().map(PeerLibrary::toString).toList();
        List<String> contenders = TrainingContender.all().stream().map(TrainingContender::name).toList();
        for (Goal goal : Goals.of(Checkout.current()).limits()) {
            if (goal.op().matcher("train.qlora").find() || goal.op().matcher("train.lora").find()) {
                assertTrue(contenders.containsAll(goal.peers()), goal.name());
                continue;
            }
            List<BenchCase> cases = Catalog.cases(Catalog.Suite.LIMITS, Scope.CALL).stream().filter(c -> goal.op().matcher(c.op()).find())
                    .filter(c -> c.dims().get("m") >= goal.mFrom()).toList();
            assertFalse(cases.isEmpty(), goal.name());
            for (BenchCase benchCase : goal.backend().equals("cpu") ? cases : List.<BenchCase>of()) {
                assertTrue(libraries.containsAll(goal.peers()) && benchCase.gemm() != null
                        || benchCase.beside().stream().anyMatch(other -> goal.peers().contains(other.op())), goal.name());
            }
        }
    }

    private static Goal goal(String op, String backend, String dtype, long mFrom, Goal.Measure measure, String... peers) {
        return new Goal("as good as the best", Pattern.compile(op), backend, dtype, mFrom, null, measure, List.of(peers), 1.05);
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
