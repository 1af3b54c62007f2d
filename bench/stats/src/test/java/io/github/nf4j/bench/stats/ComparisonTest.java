package io.github.nf4j.bench.stats;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import java.util.function.DoubleFunction;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/// Verdicts on times made up like those of a shared machine: a drift that hits neighbours alike, jitter upwards, outliers.
class ComparisonTest {
    private static final double THRESHOLD = 0.03;
    private static final int ROUNDS = 60;
    private static final int TRIALS = 500;

    private final SplittableRandom random = new SplittableRandom(42);

    @Test
    void sameCodeIsNeverCalledSlowerOrFaster() {
        assertTrue(share(Verdict.SLOW, this::pairedWith, 1.0) <= 0.002);
        assertTrue(share(Verdict.FAST, this::pairedWith, 1.0) <= 0.002);
        assertTrue(share(Verdict.SAME, this::pairedWith, 1.0) >= 0.9);
    }

    @Test
    void tenPercentIsFoundInBothDirections() {
        assertTrue(share(Verdict.SLOW, this::pairedWith, 1.10) >= 0.99);
        assertTrue(share(Verdict.FAST, this::pairedWith, 1 / 1.10) >= 0.99);
    }

    @Test
    void driftBetweenTwoRunsIsNoVerdictForItsSpread() {
        // 4 % apart for no reason, as two sessions are: past runs that differed as much keep it from being called SLOW
        double[] medians = {100, 104, 98, 103, 99};
        double threshold = Comparison.threshold(THRESHOLD, medians);
        assertEquals(3 * (103 - 99) / 100.0, threshold, 1e-12);
        assertEquals(Verdict.SAME, new Comparison(new Interval(1.03, 1.04, 1.05), threshold).verdict());
        assertEquals(Verdict.SLOW, new Comparison(new Interval(1.03, 1.04, 1.05), THRESHOLD).verdict());
    }

    @Test
    void fewerThanFivePastRunsSayNothing() {
        assertEquals(THRESHOLD, Comparison.threshold(THRESHOLD, 100, 200, 300, 400));
    }

    @Test
    void verdictNeedsBothCertaintyAndSize() {
        assertEquals(Verdict.SLOW, verdict(1.01, 1.05, 1.08));
        assertEquals(Verdict.AMBIGUOUS, verdict(0.99, 1.05, 1.08)); // large, not sure
        assertEquals(Verdict.AMBIGUOUS, verdict(1.01, 1.02, 1.04)); // sure, perhaps small
        assertEquals(Verdict.SAME, verdict(1.005, 1.01, 1.02)); // sure and small
        assertEquals(Verdict.SAME, verdict(0.98, 1.00, 1.02));
        assertEquals(Verdict.FAST, verdict(0.90, 0.95, 0.99));
        assertEquals(Verdict.AMBIGUOUS, verdict(0.90, 0.95, 1.01));
        assertEquals(Verdict.AMBIGUOUS, verdict(Double.NEGATIVE_INFINITY, 2, Double.POSITIVE_INFINITY));
    }

    @Test
    void unpairedFindsWhatIsFarBeyondTheNoise() {
        assertTrue(share(Verdict.SLOW, this::unpairedWith, 1.5) >= 0.99);
        assertTrue(share(Verdict.SLOW, this::unpairedWith, 1.0) <= 0.01);
    }

    @Test
    void refusesWhatCannotBeCompared() {
        assertThrows(IllegalArgumentException.class, () -> Comparison.paired(new double[3], new double[4], THRESHOLD));
        assertThrows(IllegalArgumentException.class, () -> Comparison.paired(new double[3], new double[3], 0));
    }

    private static Verdict verdict(double low, double centre, double high) {
        return new Comparison(new Interval(low, centre, high), THRESHOLD).verdict();
    }

    private double share(Verdict verdict, DoubleFunction<Comparison> trial, double slowdown) {
        return IntStream.range(0, TRIALS).filter(i -> trial.apply(slowdown).verdict() == verdict).count() / (double) TRIALS;
    }

    private Comparison pairedWith(double slowdown) {
        double phase = random.nextDouble(6);
        IntToDoubleFunction drift = i -> 100 + 10 * Math.sin(phase + i / 5.0);
        double[] base = IntStream.range(0, ROUNDS).mapToDouble(i -> drift.applyAsDouble(i) * jitter()).toArray();
        double[] candidate = IntStream.range(0, ROUNDS).mapToDouble(i -> drift.applyAsDouble(i) * slowdown * jitter()).toArray();
        return Comparison.paired(base, candidate, THRESHOLD);
    }

    private Comparison unpairedWith(double slowdown) {
        double[] base = IntStream.range(0, ROUNDS).mapToDouble(i -> 100 * jitter()).toArray();
        double[] candidate = IntStream.range(0, ROUNDS).mapToDouble(i -> 100 * slowdown * jitter()).toArray();
        return Comparison.unpaired(base, candidate, 0.10);
    }

    /// About 2 %, always upwards, and now and then much more.
    private double jitter() {
        return 1 + 0.02 * -Math.log(1 - random.nextDouble()) + (random.nextInt(20) == 0 ? random.nextDouble() : 0);
    }
}
