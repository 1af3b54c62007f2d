package io.github.nf4j.bench.train;

import io.github.nf4j.Backend;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.result.CaseResult.Work;

/// What every contender trains, and how often.
///
/// @param layers of the model's own number, or fewer
/// @param tokens in each sequence
/// @param steps  counted steps of a process
/// @param rounds processes of each contender
/// @param missing why nothing can be trained there, which every row then says; else null
public record TrainingPlan(Model model, int layers, int sequences, int tokens, int steps, int rounds, Backend backend, int threads,
        String missing) {
    private static final int RANK = 16;

    int tokensPerStep() {
        return sequences * tokens;
    }

    /// The least that a step computes and moves: each frozen matrix once forwards and once backwards, the adapters also for their own
    /// gradients, attention as half a square. Activations may stay in the caches.
    Work work(boolean quantized, int bytesPerWeight) {
        double hidden = model.hidden();
        double attention = (double) model.heads() * model.headDim();
        double keyValue = (double) model.kvHeads() * model.headDim();
        double mlp = model.intermediate();
        double frozen = layers * (2 * hidden * attention + 2 * hidden * keyValue + 3 * hidden * mlp);
        double adapters = layers * RANK * (2 * (hidden + attention) + 2 * (hidden + keyValue) + 3 * (hidden + mlp));
        double output = hidden * model.vocabulary();
        double scores = layers * sequences * (double) tokens * tokens / 2 * attention; // of each of the six products
        double flops = tokensPerStep() * (4 * (frozen + output) + 6 * adapters) + 6 * 2 * scores;
        double bytes = 2 * (frozen * (quantized ? 0.5 + 1.0 / 64 : bytesPerWeight) + output * bytesPerWeight);
        return new Work(flops, bytes, 0);
    }
}
