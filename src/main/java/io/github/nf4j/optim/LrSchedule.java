package io.github.nf4j.optim;

/// How the learning rate goes over the optimizer steps, as a factor of the peak rate.
///
/// During warm-up step `s` (counted from 0) has the factor `(s + 1) / warmupSteps`. Hugging Face's schedulers have
/// `s / warmupSteps`, which spends the first step on a rate of 0; after the warm-up the formulas are theirs
/// (`get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup`), and steps beyond `totalSteps` have the factor 0.
public sealed interface LrSchedule {
    /// Steps whose rate rises; 0 for none.
    int warmupSteps();

    /// The factor after the warm-up.
    ///
    /// @param step step of the optimizer, counted from 0, at least `warmupSteps()`
    double factorAfterWarmup(int step);

    /// The factor of the peak learning rate that a step takes.
    ///
    /// @param step step of the optimizer, counted from 0
    default double factor(int step) {
        if (step < 0) {
            throw new IllegalArgumentException("step is " + step + "; steps are counted from 0");
        }
        return step < warmupSteps() ? (step + 1.0) / warmupSteps() : factorAfterWarmup(step);
    }

    /// The peak rate after the warm-up.
    record Constant(int warmupSteps) implements LrSchedule {
        public Constant {
            check(warmupSteps, Integer.MAX_VALUE);
        }

        @Override
        public double factorAfterWarmup(int step) {
            return 1;
        }
    }

    /// Falls in a line to 0 at `totalSteps`.
    record Linear(int warmupSteps, int totalSteps) implements LrSchedule {
        public Linear {
            check(warmupSteps, totalSteps);
        }

        @Override
        public double factorAfterWarmup(int step) {
            return 1 - progress(step, warmupSteps, totalSteps);
        }
    }

    /// Falls as half a cosine to 0 at `totalSteps`.
    record Cosine(int warmupSteps, int totalSteps) implements LrSchedule {
        public Cosine {
            check(warmupSteps, totalSteps);
        }

        @Override
        public double factorAfterWarmup(int step) {
            return 0.5 * (1 + Math.cos(Math.PI * progress(step, warmupSteps, totalSteps)));
        }
    }

    private static double progress(int step, int warmupSteps, int totalSteps) {
        return Math.min(1, (step - warmupSteps) / Math.max(1.0, totalSteps - warmupSteps));
    }

    private static void check(int warmupSteps, int totalSteps) {
        if (warmupSteps < 0 || totalSteps < 1 || warmupSteps > totalSteps) {
            throw new IllegalArgumentException("warmupSteps is " + warmupSteps + " of " + totalSteps
                    + " steps; expected 0 <= warmupSteps <= totalSteps and at least one step");
        }
    }
}
