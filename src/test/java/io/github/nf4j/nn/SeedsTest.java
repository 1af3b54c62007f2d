package io.github.nf4j.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/// Seeds of dropout and of modules.
class SeedsTest {
    @Test
    void runStepMicroBatchAndModuleEachHaveTheirOwn() {
        Set<Long> seeds = new HashSet<>();
        for (long run = 0; run < 5; run++) {
            for (long step = 0; step < 20; step++) {
                for (long microBatch = 0; microBatch < 4; microBatch++) {
                    long seed = Seeds.dropout(run, step, microBatch);
                    for (int module = 0; module < 14; module++) {
                        seeds.add(Seeds.module(seed, module));
                    }
                }
            }
        }
        assertEquals(5 * 20 * 4 * 14, seeds.size());
        assertEquals(Seeds.dropout(7, 3, 1), Seeds.dropout(7, 3, 1));
    }
}
