package io.github.nf4j.train;

import io.github.nf4j.Graph;
import io.github.nf4j.Stream;
import io.github.nf4j.autograd.PooledTensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.internal.Undo;
import io.github.nf4j.nn.DeviceBatch;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.AdamW;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// A whole optimizer step as a [Graph]: forward and backward pass, clipping and AdamW, all launched by one call. It is for batches of
/// one form, whose sequences have the same lengths and as many trained tokens; tokens, labels, learning rate and the seed of
/// dropout are new in each step. [Trainer] packs sequences of any length, so it makes the calls anew each time.
///
/// ```java
/// try (AdamW optimizer = new AdamW(stream, model.parameters(), AdamW.Settings.of(0.01));
///      CapturedStep step = new CapturedStep(model, optimizer, batches.getFirst(), 1)) {
///     for (int i = 0; i < batches.size(); i++) {
///         IO.println(step.run(batches.get(i), Seeds.dropout(42, i, 0), 1e-4).loss());
///     }
/// }
/// ```
///
/// The results are those of [LlamaModel#loss], [Tape#backward] and [AdamW#step], to the bit.
public final class CapturedStep implements AutoCloseable {
    private final Stream stream;
    private final AdamW optimizer;
    private final int trainedTokens;
    private final TensorPool inputs;
    private final TensorPool activations;
    private final DeviceBatch batch;
    private final Tape tape;
    private final Graph graph;
    private PooledTensor losses;

    /// @param loss     mean over the trained tokens
    /// @param gradNorm the gradients' global L2 norm before clipping
    public record Result(double loss, double gradNorm) {
    }

    /// Captures the step. Parameters and moments stay what they are; gradients are overwritten.
    ///
    /// @param model       stays the caller's, as does the optimizer of its parameters, and can be closed only after the step
    /// @param form        a batch as all will be
    /// @param maxGradNorm the gradients' global L2 norm is clipped to this; 0 for no clipping
    /// @throws UnsupportedOperationException if the backend has no graphs
    public CapturedStep(LlamaModel model, AdamW optimizer, TokenBatch form, double maxGradNorm) {
        this.stream = model.stream();
        this.optimizer = optimizer;
        this.trainedTokens = form.trainedTokens();
        try (Undo undo = new Undo()) {
            this.inputs = new TensorPool(stream);
            undo.add(inputs::close);
            this.activations = new TensorPool(stream);
            undo.add(activations::close);
            this.batch = model.batchMemory(inputs, form, true);
            batch.write(form, 0);
            optimizer.zeroGrad(); // takes the gradients' memory
            long reserved;
            do { // until the pool has what a pass needs
                reserved = activations.reservedBytes();
                try (Tape once = Tape.recording(activations)) {
                    pass(model, once);
                }
            } while (activations.reservedBytes() != reserved);
            this.tape = Tape.recording(activations); // open as long as the graph, which writes the losses to its memory
            this.graph = Graph.capture(stream, () -> {
                optimizer.zeroGrad();
                losses = pass(model, tape);
                optimizer.update(maxGradNorm);
            });
            undo.keep();
        }
    }

    private PooledTensor pass(LlamaModel model, Tape onTape) {
        PooledTensor passLosses = model.losses(onTape, batch, 1.0 / trainedTokens);
        onTape.backward();
        return passLosses;
    }

    /// Takes one step.
    ///
    /// @param next         of the form that was captured
    /// @param dropoutSeed  see [io.github.nf4j.nn.Seeds#dropout]
    /// @param learningRate of this step
    /// @throws IllegalArgumentException if the batch has another form
    public Result run(TokenBatch next, long dropoutSeed, double learningRate) {
        if (next.trainedTokens() != trainedTokens) {
            throw new IllegalArgumentException("a batch of " + next.trainedTokens() + " trained tokens; the step was captured with "
                    + trainedTokens);
        }
        batch.write(next, dropoutSeed);
        optimizer.begin(learningRate);
        graph.launch();
        return new Result(lossSum() / trainedTokens, optimizer.norm());
    }

    private double lossSum() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = HostTensors.read(stream, losses.tensor(), arena);
            double sum = 0;
            for (long i = 0; i < losses.tensor().cols(); i++) {
                sum += floats.getAtIndex(ValueLayout.JAVA_FLOAT, i);
            }
            return sum;
        }
    }

    /// Frees the graph and its activations.
    @Override
    public void close() {
        graph.close();
        tape.close();
        activations.close();
        inputs.close();
    }
}
