package io.github.nf4j.train;

import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.TokenBatch;
import java.util.List;
import java.util.OptionalLong;

/// How well a model predicts the trained tokens of a data set.
///
/// @param loss   mean cross-entropy in nats
/// @param tokens number of tokens that it is the mean of
public record Evaluation(double loss, long tokens) {
    /// e to the power of the loss.
    public double perplexity() {
        return Math.exp(loss);
    }

    /// Evaluates without dropout.
    ///
    /// @param batchSize sequences that go through the model together
    /// @throws IllegalStateException if the loss is not finite
    public static Evaluation of(LlamaModel model, Dataset data, int batchSize) {
        try (TensorPool pool = new TensorPool(model.stream())) {
            return of(model, pool, data, batchSize);
        }
    }

    static Evaluation of(LlamaModel model, TensorPool pool, Dataset data, int batchSize) {
        double sum = 0;
        for (List<Example> examples : Batches.pass(data.examples(), batchSize)) {
            TokenBatch batch = Batches.pack(examples);
            try (Tape tape = Tape.inference(pool)) {
                sum += model.loss(tape, batch, 1, OptionalLong.empty());
            }
        }
        Evaluation evaluation = new Evaluation(sum / data.trainedTokens(), data.trainedTokens());
        if (!Double.isFinite(evaluation.loss)) {
            throw new IllegalStateException("the loss on " + data.file() + " is " + evaluation.loss);
        }
        return evaluation;
    }
}
