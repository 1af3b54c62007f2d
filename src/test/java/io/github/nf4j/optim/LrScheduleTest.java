package io.github.nf4j.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.nf4j.FixtureFile;
import org.junit.jupiter.api.Test;

class LrScheduleTest {
    /// `get_linear_schedule_with_warmup(optimizer, 4, 10)` of transformers after its warm-up.
    @Test
    void linearFallsToZeroAtTheEnd() {
        LrSchedule schedule = new LrSchedule.Linear(4, 10);
        double[] expected = {0.25, 0.5, 0.75, 1, 1, 5 / 6.0, 4 / 6.0, 0.5, 2 / 6.0, 1 / 6.0, 0, 0};
        for (int step = 0; step < expected.length; step++) {
            assertEquals(expected[step], schedule.factor(step), 1e-15, "step " + step);
        }
    }

    @Test
    void cosineIsThatOfTheTrainingFixture() {
        LrSchedule schedule = new LrSchedule.Cosine(4, 20);
        FixtureFile.json("training/lora/run.json").get("log").forEach(step -> assertEquals(step.get("lr").doubleValue(),
                0.01 * schedule.factor(step.get("step").intValue()), 1e-15));
        assertEquals(0, schedule.factor(20), 1e-15);
        assertEquals(0, schedule.factor(1000), 1e-15);
    }

    @Test
    void constantStaysAfterItsWarmup() {
        assertEquals(0.5, new LrSchedule.Constant(2).factor(0));
        assertEquals(1, new LrSchedule.Constant(2).factor(1));
        assertEquals(1, new LrSchedule.Constant(0).factor(0));
        assertEquals(1, new LrSchedule.Constant(2).factor(1_000_000));
    }

    @Test
    void nonsenseIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> new LrSchedule.Linear(11, 10));
        assertThrows(IllegalArgumentException.class, () -> new LrSchedule.Cosine(-1, 10));
        assertThrows(IllegalArgumentException.class, () -> new LrSchedule.Cosine(0, 0));
        assertThrows(IllegalArgumentException.class, () -> new LrSchedule.Constant(0).factor(-1));
    }
}
