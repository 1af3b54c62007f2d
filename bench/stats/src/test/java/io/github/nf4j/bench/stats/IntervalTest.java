package io.github.nf4j.bench.stats;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class IntervalTest {
    // The ranks of published tables of the sign-test interval: with n samples, the k-th smallest and the k-th largest.
    @ParameterizedTest
    @CsvSource({"8, 0.99, 1", "10, 0.95, 2", "10, 0.99, 1", "15, 0.99, 3", "20, 0.95, 6", "20, 0.99, 4", "50, 0.95, 18", "100, 0.95, 40",
            "100, 0.99, 37", "2000, 0.95, 956"})
    void endsAreTheOrderStatisticsOfTheSignTest(int n, double confidence, int rank) {
        double[] samples = IntStream.rangeClosed(1, n).mapToDouble(i -> n + 1 - i).toArray();
        Interval interval = Interval.ofMedian(confidence, samples);
        assertEquals(rank, interval.low());
        assertEquals(n + 1 - rank, interval.high());
        assertEquals((n + 1) / 2.0, interval.centre());
    }

    @Test
    void tooFewSamplesBoundNothing() {
        assertTrue(Interval.ofMedian(0.99, 1, 2, 3, 4, 5, 6, 7).isUnbounded());
        assertFalse(Interval.ofMedian(0.99, 1, 2, 3, 4, 5, 6, 7, 8).isUnbounded());
        assertEquals(4, Interval.ofMedian(0.99, 1, 2, 3, 4, 5, 6, 7).centre());
    }

    // 99 of 100 intervals should hold the true median, also of a skewed distribution as times have.
    @Test
    void coversTheMedianAsOftenAsItSays() {
        SplittableRandom random = new SplittableRandom(1);
        int covered = 0;
        int trials = 4000;
        for (int trial = 0; trial < trials; trial++) {
            double[] samples = IntStream.range(0, 30).mapToDouble(i -> -Math.log(1 - random.nextDouble())).toArray();
            Interval interval = Interval.ofMedian(0.99, samples);
            if (interval.low() <= Math.log(2) && Math.log(2) <= interval.high()) {
                covered++;
            }
        }
        // 0.9948 for n = 30; four standard deviations of the count on either side
        assertEquals(0.9948, (double) covered / trials, 0.005);
    }

    @Test
    void quotientTakesTheWorstOfBoth() {
        Interval quotient = new Interval(8, 10, 12).dividedBy(new Interval(4, 5, 6));
        assertEquals(8.0 / 6, quotient.low());
        assertEquals(2, quotient.centre());
        assertEquals(3, quotient.high());
        assertTrue(new Interval(8, 10, 12).dividedBy(Interval.ofMedian(0.99, 1, 2)).isUnbounded());
    }
}
