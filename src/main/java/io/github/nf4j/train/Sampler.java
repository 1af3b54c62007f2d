package io.github.nf4j.train;

import java.util.Comparator;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/// Chooses the next token from logits.
///
/// @param temperature what logits are divided by; 0 takes the most likely token always
/// @param topP        of the tokens in descending order of probability, those are candidates whose predecessors' probabilities add
///                    up to less than this
public record Sampler(double temperature, double topP) {
    /// The most likely token; of equal ones the first.
    public static final Sampler GREEDY = new Sampler(0, 1);

    public Sampler {
        if (!(temperature >= 0) || !Double.isFinite(temperature)) {
            throw new IllegalArgumentException("temperature is " + temperature + "; expected a number of at least 0");
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new IllegalArgumentException("top-p is " + topP + "; expected a number in (0, 1]");
        }
    }

    int next(float[] logits, SplittableRandom random) {
        int best = 0;
        for (int i = 0; i < logits.length; i++) {
            if (Float.isNaN(logits[i])) {
                throw new IllegalStateException("the logit of token " + i + " is NaN");
            }
            best = logits[i] > logits[best] ? i : best;
        }
        return temperature == 0 ? best : sample(logits, logits[best], random);
    }

    private int sample(float[] logits, float largest, SplittableRandom random) {
        double[] weights = new double[logits.length];
        double total = 0;
        for (int i = 0; i < logits.length; i++) {
            weights[i] = Math.exp((logits[i] - largest) / temperature);
            total += weights[i];
        }
        int[] order = IntStream.range(0, weights.length).toArray();
        double kept = total;
        int candidates = order.length;
        if (topP < 1) {
            order = IntStream.of(order).boxed().sorted(Comparator.comparingDouble((Integer i) -> -weights[i]))
                    .mapToInt(Integer::intValue).toArray();
            kept = 0;
            candidates = 0;
            while (candidates < order.length && kept < topP * total) {
                kept += weights[order[candidates++]];
            }
        }
        double point = random.nextDouble() * kept;
        for (int i = 0; i < candidates - 1; i++) {
            point -= weights[order[i]];
            if (point < 0) {
                return order[i];
            }
        }
        return order[candidates - 1];
    }
}
