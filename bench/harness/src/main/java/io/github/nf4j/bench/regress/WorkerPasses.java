package io.github.nf4j.bench.regress;

import io.github.nf4j.Backend;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.run.Interleaver;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/// Measures two builds in turns. A pass starts a fresh process for each, so where things come to lie in memory differs from pass to
/// pass, and no luck of that kind is taken for a change twice.
///
/// @param nanos for the samples of a pass
/// @param spin  makes the candidate slower by this share, to test the gate; 0 for honest work
public record WorkerPasses(Build base, Build candidate, Target target, long nanos, double spin) implements Judge.Passes {
    private static final double WARM_UP_SHARE = 0.2;

    /// Where and what to measure.
    public record Target(Backend backend, int threads, Suite suite, Scope scope, long seed) {
    }

    @Override
    public Judge.Pass measure(BenchCase benchCase) throws IOException, InterruptedException {
        long warmUp = (long) (nanos * WARM_UP_SHARE / 2);
        try (WorkerContender before = new WorkerContender(base, target, benchCase, 0, warmUp);
                WorkerContender after = new WorkerContender(candidate, target, benchCase, spin, warmUp)) {
            before.await();
            after.await();
            Interleaver.Outcome outcome = Interleaver.run(List.of(before, after), nanos);
            return new Judge.Pass(medians(outcome.tracks().get(0)), medians(outcome.tracks().get(1)), outcome.noisy());
        }
    }

    /// To the nanosecond: the clock has no more.
    private static double[] medians(Interleaver.Track track) {
        return Arrays.stream(track.medians()).map(micros -> Math.round(micros * 1e3) / 1e3).toArray();
    }
}
