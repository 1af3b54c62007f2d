package io.github.nf4j.bench.stats;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class BandTest {
    @Test
    void fewRunsHaveTheSmallestBand() {
        assertEquals(new Band(80, 100, 125), Band.of(0.25, 100));
        assertEquals(new Band(80, 100, 125), Band.of(0.25, 300, 100, 10, 100)); // four say nothing of their spread
    }

    @Test
    void runsThatVaryHaveAWiderOne() {
        // quartiles 90 and 110: three times a fifth
        assertEquals(new Band(100 / 1.6, 100, 160), Band.of(0.1, 100, 90, 150, 110, 70));
        assertEquals(new Band(80, 100, 125), Band.of(0.25, 100, 99, 101, 100, 100));
    }

    @Test
    void noRunsHaveNone() {
        assertThrows(IllegalArgumentException.class, () -> Band.of(0.1));
    }
}
