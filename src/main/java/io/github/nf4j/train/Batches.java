package io.github.nf4j.train;

import io.github.nf4j.nn.TokenBatch;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/// Cuts the endless sequence "first epoch, second epoch, …" of a data set into optimizer steps, and each of those into micro-batches.
///
/// A step depends on its number alone, not on the steps asked for before, so a resumed run sees the batches that it would have seen.
final class Batches {
    private final List<Example> examples;
    private final int batchSize;
    private final int accumulation;
    private final boolean shuffle;
    private final long seed;
    private long cachedEpoch = -1;
    private int[] order;

    /// @param batchSize    sequences of a micro-batch
    /// @param accumulation micro-batches of an optimizer step
    /// @param shuffle      a new order each epoch, from the seed; else the order of the file
    Batches(List<Example> examples, int batchSize, int accumulation, boolean shuffle, long seed) {
        if (batchSize < 1 || accumulation < 1) {
            throw new IllegalArgumentException("batch size " + batchSize + " and gradient accumulation " + accumulation
                    + " must be at least 1");
        }
        this.examples = examples;
        this.batchSize = batchSize;
        this.accumulation = accumulation;
        this.shuffle = shuffle;
        this.seed = seed;
    }

    /// Steps that see every example at least `epochs` times.
    int stepsOf(double epochs) {
        double steps = Math.ceil(epochs * examples.size() / ((double) batchSize * accumulation) - 1e-9);
        if (!(epochs > 0) || steps > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("epochs " + epochs + ": expected a number greater than 0 that makes fewer than 2^31 steps");
        }
        return (int) steps;
    }

    /// The examples of each micro-batch of an optimizer step.
    ///
    /// @param step counted from 0
    List<List<Example>> step(int step) {
        long next = (long) step * batchSize * accumulation;
        List<List<Example>> batches = new ArrayList<>(accumulation);
        for (int i = 0; i < accumulation; i++) {
            List<Example> chosen = new ArrayList<>(batchSize);
            for (int j = 0; j < batchSize; j++, next++) {
                chosen.add(example(next));
            }
            batches.add(chosen);
        }
        return batches;
    }

    /// All examples once, in their order, `batchSize` at a time.
    static List<List<Example>> pass(List<Example> examples, int batchSize) {
        List<List<Example>> batches = new ArrayList<>();
        for (int i = 0; i < examples.size(); i += batchSize) {
            batches.add(examples.subList(i, Math.min(i + batchSize, examples.size())));
        }
        return batches;
    }

    /// Sequences one behind the other, without padding.
    static TokenBatch pack(List<Example> examples) {
        return TokenBatch.of(examples.stream().map(Example::ids).toList(), examples.stream().map(Example::labels).toList());
    }

    private Example example(long index) {
        int position = (int) (index % examples.size());
        if (!shuffle) {
            return examples.get(position);
        }
        long epoch = index / examples.size();
        if (epoch != cachedEpoch) {
            order = permutation(examples.size(), seed + epoch * 0x9E3779B97F4A7C15L);
            cachedEpoch = epoch;
        }
        return examples.get(order[position]);
    }

    /// Fisher and Yates' shuffle with java.util.Random, whose numbers are part of its specification.
    private static int[] permutation(int size, long seed) {
        Random random = new Random(seed);
        int[] order = new int[size];
        for (int i = 0; i < size; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }
}
