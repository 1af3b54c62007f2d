package io.github.nf4j.bench.run;

import io.github.nf4j.bench.stats.Summary;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.DoubleStream;

/// Takes samples of several contenders in turns, forwards and backwards (ABBA): what changes slowly, as clocks and neighbours do,
/// then hits all of them alike. A round in which others used the processor is repeated, and kept apart.
public final class Interleaver {
    /// What a round aims at for each contender: longer than a scheduler's time slice is not needed, shorter is all overhead.
    private static final long BLOCK_NANOS = 10_000_000;
    private static final int MOST_ROUNDS = 200;
    /// Samples of one round are neighbours and much alike: what makes an interval narrow is rounds.
    private static final int WANTED_ROUNDS = 40;
    private static final int FEWEST_ROUNDS = 8; // with seven samples no interval of a median has 99 %
    private static final int MOST_SAMPLES = 1000;
    /// How much longer than its budget a case may take on account of repeated rounds.
    private static final double PATIENCE = 2;
    /// After a contender, so that spinning workers of its library go to sleep.
    private static final long PAUSE_MILLIS = 2;

    private Interleaver() {
    }

    /// What one contender did.
    ///
    /// @param blocks    the samples of each round
    /// @param disturbed samples of rounds that were repeated
    public record Track(List<double[]> blocks, double[] disturbed) {
        public double[] samples() {
            return blocks.stream().flatMapToDouble(DoubleStream::of).toArray();
        }

        /// One figure per round, which pairs with the same round of another contender.
        public double[] medians() {
            return blocks.stream().mapToDouble(Summary::median).toArray();
        }
    }

    /// @param tracks       in the order of the contenders, of equally many rounds
    /// @param foreignShare of the time, in the rounds that count
    /// @param noisy        whether disturbed rounds had to be counted
    public record Outcome(List<Track> tracks, double foreignShare, boolean noisy) {
    }

    private record Round(List<double[]> blocks, double foreignShare) {
        boolean isQuiet() {
            return foreignShare <= LoadMonitor.LIMIT;
        }
    }

    /// @param nanos for all contenders together
    public static Outcome run(List<? extends Contender> contenders, long nanos) throws InterruptedException {
        LoadMonitor monitor = new LoadMonitor(contenders.stream().flatMap(c -> c.pid().stream().boxed()).toList());
        int[] counts = contenders.stream().mapToInt(c -> perRound(c, nanos / contenders.size())).toArray();
        List<Round> quiet = new ArrayList<>();
        List<Round> disturbed = new ArrayList<>();
        long begin = System.nanoTime();
        int samples = 0;
        while (true) {
            long spent = System.nanoTime() - begin;
            int rounds = quiet.size() + disturbed.size();
            if (quiet.size() >= MOST_ROUNDS || samples >= MOST_SAMPLES && quiet.size() >= FEWEST_ROUNDS
                    || spent >= nanos && quiet.size() >= FEWEST_ROUNDS
                    || spent >= nanos * PATIENCE && rounds >= FEWEST_ROUNDS) {
                break;
            }
            Round round = round(contenders, counts, rounds % 2 == 1, monitor);
            (round.isQuiet() ? quiet : disturbed).add(round);
            samples += round.isQuiet() ? round.blocks.getFirst().length : 0;
        }
        boolean noisy = quiet.size() < FEWEST_ROUNDS;
        if (noisy) {
            quiet.addAll(disturbed);
            disturbed.clear();
        }
        return outcome(contenders.size(), quiet, disturbed, noisy);
    }

    private static Round round(List<? extends Contender> contenders, int[] counts, boolean backwards, LoadMonitor monitor)
            throws InterruptedException {
        List<double[]> blocks = new ArrayList<>(Collections.nCopies(contenders.size(), null));
        double foreign = 0;
        for (int i = 0; i < contenders.size(); i++) {
            int at = backwards ? contenders.size() - 1 - i : i;
            if (contenders.size() > 1) {
                Thread.sleep(PAUSE_MILLIS);
            }
            LoadMonitor.Mark begin = monitor.mark();
            blocks.set(at, contenders.get(at).sample(counts[at]));
            foreign = Math.max(foreign, monitor.mark().shareSince(begin));
        }
        return new Round(blocks, foreign);
    }

    private static int perRound(Contender contender, long nanos) {
        long block = Math.min(BLOCK_NANOS, nanos / FEWEST_ROUNDS);
        return Math.clamp(block / Math.max(1, contender.nanosPerSample()), 1, MOST_SAMPLES / WANTED_ROUNDS);
    }

    private static Outcome outcome(int contenders, List<Round> counted, List<Round> repeated, boolean noisy) {
        List<Track> tracks = new ArrayList<>();
        for (int i = 0; i < contenders; i++) {
            int at = i;
            tracks.add(new Track(counted.stream().map(round -> round.blocks.get(at)).toList(),
                    repeated.stream().flatMapToDouble(round -> DoubleStream.of(round.blocks.get(at))).toArray()));
        }
        double foreign = counted.stream().mapToDouble(Round::foreignShare).average().orElse(0);
        return new Outcome(tracks, foreign, noisy);
    }
}
