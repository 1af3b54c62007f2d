package io.github.nf4j.bench.junit;

import io.github.nf4j.bench.stats.Interval;

/// Times two operations in turns.
final class PairedTimer {
    private static final double CONFIDENCE = 0.99;
    private static final int ROUNDS = 40;
    private static final long WARM_UP_NANOS = 200_000_000;
    private static final long SAMPLE_NANOS = 1_000_000;

    private final Operation candidate;
    private final Operation baseline;
    private final int candidateCalls;
    private final int baselineCalls;

    /// What is timed; it may throw what a test may throw.
    @FunctionalInterface
    interface Operation {
        void run() throws Throwable;
    }

    /// Warms both up.
    PairedTimer(Operation candidate, Operation baseline) throws Throwable {
        this.candidate = candidate;
        this.baseline = baseline;
        this.candidateCalls = warmUp(candidate);
        this.baselineCalls = warmUp(baseline);
    }

    /// Calls per second of the candidate / calls per second of the baseline.
    Interval measure() throws Throwable {
        double[] ratios = new double[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            if (round % 2 == 0) {
                double ours = nanosPerCall(candidate, candidateCalls);
                ratios[round] = nanosPerCall(baseline, baselineCalls) / ours;
            } else {
                double theirs = nanosPerCall(baseline, baselineCalls);
                ratios[round] = theirs / nanosPerCall(candidate, candidateCalls);
            }
        }
        return Interval.ofMedian(CONFIDENCE, ratios);
    }

    /// @return calls that make a sample
    private static int warmUp(Operation operation) throws Throwable {
        long begin = System.nanoTime();
        int calls = 0;
        do {
            operation.run();
            calls++;
        } while (System.nanoTime() - begin < WARM_UP_NANOS);
        double nanos = (double) (System.nanoTime() - begin) / calls;
        return (int) Math.max(1, Math.ceil(SAMPLE_NANOS / nanos));
    }

    private static double nanosPerCall(Operation operation, int calls) throws Throwable {
        long begin = System.nanoTime();
        for (int i = 0; i < calls; i++) {
            operation.run();
        }
        return (double) (System.nanoTime() - begin) / calls;
    }
}
