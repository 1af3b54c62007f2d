package io.github.nf4j.cli;

import io.github.nf4j.train.Evaluation;
import io.github.nf4j.train.StepMetrics;
import io.github.nf4j.train.TrainingRun;
import java.io.Console;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarStyle;

/// Shows how training goes: a bar on a terminal, plain lines elsewhere. Keeps what the summary says.
final class ProgressReporter implements TrainingRun.Listener, AutoCloseable {
    private static final int PLAIN_LINES = 40;
    private static final int RECENT_STEPS = 10;

    private final PrintWriter out;
    private final int steps;
    private final ProgressBar bar; // null where there is no terminal
    private final Deque<Double> recentLosses = new ArrayDeque<>();
    private double firstLoss = Double.NaN;
    private double firstHeldLoss = Double.NaN;
    private double lastHeldLoss = Double.NaN;
    private double seconds;
    private long tokens;
    private int stepsSeen;

    ProgressReporter(PrintWriter out, int steps, int stepsBefore) {
        this.out = out;
        this.steps = steps;
        Console console = System.console();
        this.bar = console == null || !console.isTerminal() ? null
                : ProgressBar.builder().setTaskName("training").setInitialMax(steps).startsFrom(stepsBefore, Duration.ZERO)
                        .setStyle(ProgressBarStyle.COLORFUL_UNICODE_BLOCK).setUpdateIntervalMillis(200)
                        .setConsumer(new ConsoleProgressBarConsumer(System.err)).build();
    }

    @Override
    public void stepped(StepMetrics step) {
        stepsSeen++;
        seconds += step.stepSeconds();
        tokens += step.tokens();
        firstLoss = stepsSeen == 1 ? step.loss() : firstLoss;
        recentLosses.add(step.loss());
        if (recentLosses.size() > RECENT_STEPS) {
            recentLosses.remove();
        }
        if (bar != null) {
            bar.stepTo(step.step()).setExtraMessage(String.format(" loss %.4f, %.0f tokens/s", step.loss(), step.tokensPerSecond()));
        } else if (stepsSeen == 1 || step.step() == steps || step.step() % Math.max(1, steps / PLAIN_LINES) == 0) {
            out.printf("step %d/%d  loss %.4f  lr %.3g  grad norm %.3f  %.0f tokens/s  %s left%n", step.step(), steps, step.loss(),
                    step.lr(), step.gradNorm(), tokens / seconds, Reports.time((steps - step.step()) * seconds / stepsSeen));
            out.flush();
        }
    }

    @Override
    public void evaluated(int step, Evaluation evaluation) {
        firstHeldLoss = Double.isNaN(firstHeldLoss) ? evaluation.loss() : firstHeldLoss;
        lastHeldLoss = evaluation.loss();
        if (bar == null) {
            out.printf("step %d/%d  held-out loss %.4f, perplexity %.3f%n", step, steps, evaluation.loss(), evaluation.perplexity());
            out.flush();
        }
    }

    /// One line: how many steps in what time, and what became of the losses.
    void summarize() {
        double after = recentLosses.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
        out.printf("done         %d steps in %s, %.0f tokens/s%n", stepsSeen, Reports.time(seconds), tokens / seconds);
        out.printf("loss         %.4f in the first step, %.4f on average in the last %d%n", firstLoss, after, recentLosses.size());
        if (!Double.isNaN(lastHeldLoss)) {
            out.printf("held-out     %.4f before, %.4f after%n", firstHeldLoss, lastHeldLoss);
        }
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        }
    }
}
