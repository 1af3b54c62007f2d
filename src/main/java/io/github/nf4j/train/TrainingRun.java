package io.github.nf4j.train;

import io.github.nf4j.io.PeftConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Optional;

/// A whole training with its folder: steps, evaluations, checkpoints, and in the end the adapter and the plot.
public final class TrainingRun {
    private final Trainer trainer;
    private final PeftConfig adapter;
    private final RunDirectory directory;
    private final Optional<Dataset> held;
    private final int evalEvery;
    private final int checkpointEvery;
    private final String setup;

    /// What wants to know how it goes.
    public interface Listener {
        /// After each optimizer step.
        void stepped(StepMetrics step);

        /// After each evaluation.
        ///
        /// @param step optimizer steps taken before it
        void evaluated(int step, Evaluation evaluation);
    }

    /// @param adapter         the configuration of the model's adapters, written beside them
    /// @param held            examples to evaluate on before the first and after the last step; empty for none
    /// @param evalEvery       steps between evaluations; 0 for none between
    /// @param checkpointEvery steps between checkpoints; 0 for none
    /// @param setup           what the run depends on beside data and settings, see [Trainer#writeCheckpoint]
    public TrainingRun(Trainer trainer, PeftConfig adapter, RunDirectory directory, Optional<Dataset> held, int evalEvery,
                       int checkpointEvery, String setup) {
        this.trainer = trainer;
        this.adapter = adapter;
        this.directory = directory;
        this.held = held;
        this.evalEvery = evalEvery;
        this.checkpointEvery = checkpointEvery;
        this.setup = setup;
    }

    /// Takes the steps that remain.
    public void run(Listener listener) throws IOException {
        if (trainer.stepsTaken() == 0) {
            evaluate(listener);
        }
        while (!trainer.done()) {
            StepMetrics metrics = trainer.step();
            directory.log(metrics);
            listener.stepped(metrics);
            int step = metrics.step();
            if (trainer.done() || evalEvery > 0 && step % evalEvery == 0) {
                evaluate(listener);
            }
            if (!trainer.done() && checkpointEvery > 0 && step % checkpointEvery == 0) {
                trainer.writeCheckpoint(directory.folder(), setup);
            }
        }
        Adapters.save(trainer.model(), adapter, directory.folder());
        directory.plot();
        Files.deleteIfExists(directory.folder().resolve(Checkpoint.FILE));
    }

    private void evaluate(Listener listener) throws IOException {
        if (held.isPresent()) {
            Evaluation evaluation = trainer.evaluate(held.get());
            directory.logEvaluation(trainer.stepsTaken(), evaluation.loss());
            listener.evaluated(trainer.stepsTaken(), evaluation);
        }
    }
}
