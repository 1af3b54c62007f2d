package io.github.nf4j.bench.run;

import io.github.nf4j.Stream;
import io.github.nf4j.bench.cases.Subject;

/// Calls through FFM, timed by the JVM's clock: what an application sees.
public final class CallContender implements Contender {
    /// Makes every call longer by this share of itself, to test that the gate finds slow-downs.
    public static final String SPIN_PROPERTY = "nf4j.bench.spin";

    /// A sample is at least this long: the clock's own cost and resolution are some tens of nanoseconds.
    private static final long SHORTEST_SAMPLE_NANOS = 100_000;
    private static final int MOST_CALLS = 4096;

    private final String name;
    private final Subject subject;
    private final Stream stream;
    private final int slots;
    private final double spin = Double.parseDouble(System.getProperty(SPIN_PROPERTY, "0"));
    private int next;
    private int calls = 1;
    private long nanosPerSample;

    /// @param slots sets of buffers to rotate through; 1 measures with warm caches
    public CallContender(String name, Subject subject, Stream stream, int slots) {
        this.name = name;
        this.subject = subject;
        this.stream = stream;
        this.slots = slots;
    }

    /// Runs calls for at least `nanos` and two of them, then settles how many make a sample.
    ///
    /// @return how many were run
    public int warmUp(long nanos) {
        int count = 0;
        long begin = System.nanoTime();
        do {
            call();
            count++;
        } while (count < 2 || System.nanoTime() - begin < nanos);
        stream.synchronize();
        double[] trial = {Double.MAX_VALUE};
        for (int i = 0; i < 3; i++) {
            trial[0] = Math.min(trial[0], time(1));
        }
        calls = (int) Math.clamp(Math.ceil(SHORTEST_SAMPLE_NANOS / trial[0]), 1, MOST_CALLS);
        nanosPerSample = (long) (trial[0] * calls);
        return count + 3;
    }

    public int callsPerSample() {
        return calls;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long nanosPerSample() {
        return nanosPerSample;
    }

    @Override
    public double[] sample(int count) {
        if (slots == 1) {
            call(); // others may have used the caches since the last sample
            stream.synchronize();
        }
        double[] samples = new double[count];
        for (int i = 0; i < count; i++) {
            samples[i] = time(calls) / 1e3;
        }
        return samples;
    }

    /// Nanoseconds per call.
    private double time(int count) {
        long begin = System.nanoTime();
        for (int i = 0; i < count; i++) {
            call();
        }
        stream.synchronize();
        long took = System.nanoTime() - begin;
        if (spin > 0) {
            long end = begin + took + (long) (took * spin);
            while (System.nanoTime() < end) {
                Thread.onSpinWait();
            }
            took = System.nanoTime() - begin;
        }
        return (double) took / count;
    }

    private void call() {
        subject.call().accept(next);
        next = next + 1 == slots ? 0 : next + 1;
    }
}
