package io.github.nf4j.bench.methods;

import io.github.nf4j.bench.report.Canvas;
import io.github.nf4j.bench.report.Canvas.Anchor;
import io.github.nf4j.bench.report.Palette;
import io.github.nf4j.bench.report.Picture;
import io.github.nf4j.train.MemoryPlan;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.DoubleFunction;

/// Bars in three panels: memory and speed by length, and the loss.
public final class MethodCharts {
    private static final int HEIGHT = 340;
    private static final int TOP = 64;
    private static final int BOTTOM = HEIGHT - 50;
    private static final int PANEL = 310;
    private static final int WIDTH = 3 * PANEL + 30;

    private MethodCharts() {
    }

    /// What one method has for one group of bars.
    @FunctionalInterface
    private interface Value {
        Optional<Double> of(Method method, int group);
    }

    public static Picture of(MethodStudy study) {
        List<Integer> lengths = study.setup().lengths();
        List<String> groups = lengths.stream().map(length -> length + " tokens").toList();
        return new Picture("Memory, speed and loss of LoRA and QLoRA", WIDTH, HEIGHT, canvas -> {
            panel(canvas, 10, "Peak memory of the process", groups, (method, group) -> study.peakBytes(method, lengths.get(group))
                    .map(Long::doubleValue), bytes -> MemoryPlan.text((long) bytes));
            panel(canvas, 10 + PANEL, "Tokens per second", groups, (method, group) -> study.tokensPerSecond(method, lengths.get(group)),
                    speed -> String.format(Locale.ROOT, "%,.0f", speed));
            panel(canvas, 10 + 2 * PANEL, "Held-out loss", List.of("before", "after " + study.setup().trainSteps() + " steps"),
                    (method, group) -> study.loss(method).filter(loss -> loss.failure() == null)
                            .map(loss -> group == 0 ? loss.before() : loss.after()),
                    loss -> String.format(Locale.ROOT, "%.3f", loss));
            int x = 16;
            for (Method method : Method.values()) {
                canvas.box(x, HEIGHT - 20, 10, 10, Palette.series(method.ordinal()), method.title())
                        .label(x + 15, HEIGHT - 11, Anchor.START, method.title());
                x += 110;
            }
            canvas.label(WIDTH - 10, HEIGHT - 11, Anchor.END,
                    study.setup().model() + "; " + study.machine().cpu() + ", " + study.machine().cores()
                            + " cores");
        });
    }

    private static void panel(Canvas canvas, int left, String title, List<String> groups, Value value, DoubleFunction<String> text) {
        canvas.heading(left + 6, 24, title);
        double most = 0;
        for (int group = 0; group < groups.size(); group++) {
            for (Method method : Method.values()) {
                most = Math.max(most, value.of(method, group).orElse(0.0));
            }
        }
        int methods = Method.values().length;
        double width = (PANEL - 30.0) / (groups.size() * (methods + 1));
        for (int group = 0; group < groups.size(); group++) {
            double begin = left + 10 + group * width * (methods + 1);
            for (Method method : Method.values()) {
                Optional<Double> figure = value.of(method, group);
                double height = most == 0 ? 0 : (BOTTOM - TOP) * figure.orElse(0.0) / most;
                double x = begin + method.ordinal() * width;
                canvas.box(x, BOTTOM - height, width - 2, height, Palette.series(method.ordinal()),
                        method.title() + ", " + groups.get(group) + ": "
                                + figure.map(text::apply).orElse("not measured"));
            }
            largest(canvas, value, group, begin + methods * width / 2, most, text);
            canvas.label(begin + methods * width / 2, BOTTOM + 15, Anchor.MIDDLE, groups.get(group));
        }
        canvas.line(left + 6, BOTTOM, left + PANEL - 20, BOTTOM, Palette.BLACK, 1);
    }

    /// Writes the tallest bar's figure over the group: the scale of the panel.
    private static void largest(Canvas canvas, Value value, int group, double x, double most, DoubleFunction<String> text) {
        double tallest = 0;
        for (Method method : Method.values()) {
            tallest = Math.max(tallest, value.of(method, group).orElse(0.0));
        }
        if (tallest > 0) {
            canvas.label(x, BOTTOM - (BOTTOM - TOP) * tallest / most - 5, Anchor.MIDDLE, text.apply(tallest));
        }
    }
}
