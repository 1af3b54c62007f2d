package io.github.nf4j.bench.goals;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.goals.JvmGoal.Cost;
import io.github.nf4j.bench.goals.JvmGoal.Measure;
import io.github.nf4j.bench.goals.JvmGoal.Outcome;
import io.github.nf4j.bench.report.JvmGoalReport;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class JvmGoalTest {
    private static final Map<String, Double> FROM_C = Map.of("fill", 20.0, "add", 30.0, "product16F32", 9000.0, "product16Bf16", 4000.0);

    private static JvmGoal goal(String call, Measure measure, double atMost) {
        return new JvmGoal("cheap", Pattern.compile(call), measure, atMost);
    }

    private static List<Outcome> judge(JvmGoal goal, Cost... costs) {
        return JvmGoal.judge(List.of(goal), List.of(costs), FROM_C);
    }

    @Test
    void theSameCallFromCIsTakenOff() {
        List<Outcome> outcomes = judge(goal("Cost\\.(fill|add)$", Measure.OVER_C_NS, 10), new Cost("CallCost.fill", 30, 0),
                new Cost("CallCost.add", 41, 0), new Cost("CallCost.fillAll", 1, 0));
        assertEquals(List.of(10.0, 11.0), outcomes.stream().map(Outcome::value).toList());
        assertEquals(List.of(true, false), outcomes.stream().map(Outcome::isMet).toList());
    }

    @Test
    void theShortestProductIsTheMeasure() {
        Outcome outcome = judge(goal("add", Measure.OVER_C_SHARE, 0.01), new Cost("CallCost.add", 70, 0)).getFirst();
        assertEquals(0.01, outcome.value(), 1e-12);
        assertTrue(outcome.isMet());
        assertFalse(judge(goal("add", Measure.OVER_C_SHARE, 0.01), new Cost("CallCost.add", 71, 0)).getFirst().isMet());
    }

    @Test
    void bytesNeedNoCounterpartInC() {
        JvmGoal goal = goal("Tape", Measure.BYTES, 1);
        assertTrue(judge(goal, new Cost("TapeCost.backward", 500, 0.002)).getFirst().isMet());
        assertFalse(judge(goal, new Cost("TapeCost.backward", 500, 24)).getFirst().isMet());
    }

    @Test
    void whatWasNotMeasuredIsNotMet() {
        Outcome absent = judge(goal("fill", Measure.BYTES, 1)).getFirst();
        assertEquals("no benchmark of that name was run", absent.note());
        Outcome unprofiled = judge(goal("fill", Measure.BYTES, 1), new Cost("CallCost.fill", 1, Double.NaN)).getFirst();
        assertNull(unprofiled.value());
        Outcome unknown = judge(goal("other", Measure.OVER_C_NS, 10), new Cost("CallCost.other", 1, 0)).getFirst();
        assertEquals("not called from C", unknown.note());
        Outcome noProduct = JvmGoal.judge(List.of(goal("fill", Measure.OVER_C_SHARE, 1)), List.of(new Cost("CallCost.fill", 1, 0)),
                Map.of("fill", 1.0)).getFirst();
        assertEquals("no product was timed from C", noProduct.note());
        for (Outcome outcome : List.of(absent, unprofiled, unknown, noProduct)) {
            assertFalse(outcome.isMet());
        }
    }

    @Test
    void theTableEndsWithHowManyAreMet() {
        List<Outcome> outcomes = judge(goal("fill|sub", Measure.OVER_C_NS, 10), new Cost("CallCost.fill", 25.5, 0),
                new Cost("CallCost.sub", 1, 0));
        String table = JvmGoalReport.of(outcomes);
        assertTrue(table.contains("| cheap | CallCost.fill | 25.5 | 20.0 | 5.5 ns | 10.0 ns | met |"), table);
        assertTrue(table.contains("| cheap | CallCost.sub | 1.00 |  |  | 10.0 ns | not measured: not called from C |"), table);
        assertTrue(table.endsWith("\n1 of 2 goals met\n"), table);
        String absent = JvmGoalReport.of(judge(goal("a|b", Measure.BYTES, 1)));
        assertTrue(absent.contains("| cheap | a\\|b |  |  |  | 1.0 B | not measured: no benchmark of that name was run |"), absent);
    }
}
