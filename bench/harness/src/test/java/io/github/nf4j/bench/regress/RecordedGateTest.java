package io.github.nf4j.bench.regress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.regress.Judge.Judgement;
import io.github.nf4j.bench.regress.Judge.Pass;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/// The gate on passes that were recorded by `nf4j-bench selftest`: on a quiet machine, the run that docs/benchmarking.md quotes; and one build
/// against itself on two virtual cores with seven times as many runnable threads, where every pass was noisy and the gate may be ambiguous,
/// but must not be wrong.
class RecordedGateTest {
    private static List<Pass> recorded;

    @BeforeAll
    static void read() throws IOException {
        recorded = Calibration.read(Path.of("src/test/resources/gate/same-build.jsonl")).runs().stream()
                .flatMap(run -> run.passes().stream()).toList();
        assertTrue(recorded.size() >= 50 && recorded.stream().allMatch(Pass::noisy));
    }

    @Test
    void onAQuietMachineItRaisesOneFalseAlarmOfFiftyAtMostAndFindsTenPercent() throws Exception {
        Calibration quiet = Calibration.read(Path.of("../results/gate-amd-epyc-2c.jsonl"));
        for (Calibration.Run run : quiet.runs()) {
            assertEquals(run.verdict(), judge(run.passes().toArray(Pass[]::new)).verdict(), run.op() + " " + run.shape());
        }
        assertEquals(150, quiet.runs().size());
        assertTrue(quiet.isGood());
        String docs = Files.readString(Path.of("../../docs/benchmarking.md"));
        assertTrue(quiet.markdown().lines().filter(line -> line.startsWith("|")).allMatch(docs::contains));
    }

    @Test
    void aBuildIsNeverCalledSlowerOrFasterThanItself() throws Exception {
        assertEquals(0, share(Verdict.SLOW, 1));
        assertEquals(0, share(Verdict.FAST, 1));
        assertTrue(share(Verdict.SAME, 1) > 0.25);
    }

    @Test
    void slowDownsAreFoundTheSurerTheLargerTheyAre() throws Exception {
        assertTrue(share(Verdict.SLOW, 1.05) >= 0.4);
        assertTrue(share(Verdict.SLOW, 1.10) >= 0.9);
        assertTrue(share(Verdict.SLOW, 1.20) >= 0.95);
        assertEquals(0, share(Verdict.SAME, 1.10));
        assertTrue(share(Verdict.FAST, 1 / 1.10) >= 0.8);
    }

    @Test
    void aVerdictOfOnePassAloneDoesNotCount() throws Exception {
        Pass same = pass(1.0);
        Pass slow = pass(1.2);
        Pass fast = pass(0.8);
        assertEquals(Verdict.SAME, judge(slow, same).verdict());
        assertEquals(Verdict.SLOW, judge(slow, slow).verdict());
        assertEquals(Verdict.FAST, judge(fast, fast).verdict());
        assertEquals(Verdict.SLOW, judge(slow, fast, slow).verdict());
        Judgement torn = judge(pass(0.9, 1.2), slow, fast);
        assertEquals(Verdict.AMBIGUOUS, torn.verdict());
        assertEquals(3, torn.passes().size());
    }

    /// Of the judgements that begin with each recorded pass.
    private static double share(Verdict verdict, double slowdown) throws IOException, InterruptedException {
        int count = 0;
        for (int begin = 0; begin < recorded.size(); begin++) {
            List<Pass> passes = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                Pass pass = recorded.get((begin + i) % recorded.size());
                passes.add(new Pass(pass.base(), Arrays.stream(pass.candidate()).map(micros -> micros * slowdown).toArray(), pass.noisy()));
            }
            count += judge(passes.toArray(Pass[]::new)).verdict() == verdict ? 1 : 0;
        }
        return (double) count / recorded.size();
    }

    private static Judgement judge(Pass... passes) throws IOException, InterruptedException {
        var next = List.of(passes).iterator();
        return new Judge(_ -> next.next(), 0.03).judge(null);
    }

    /// Rounds whose ratios lie evenly between two values.
    private static Pass pass(double... ratios) {
        double[] base = new double[40];
        double[] candidate = new double[40];
        for (int i = 0; i < base.length; i++) {
            base[i] = 100;
            candidate[i] = 100 * (ratios[0] + (ratios[ratios.length - 1] - ratios[0]) * i / base.length);
        }
        return new Pass(base, candidate, false);
    }
}
