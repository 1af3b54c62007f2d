package io.github.nf4j.bench.methods;

import io.github.nf4j.bench.methods.MethodStudy.Loss;
import io.github.nf4j.bench.methods.MethodStudy.Setup;
import io.github.nf4j.bench.report.HtmlReport;
import io.github.nf4j.bench.report.MarkdownReport;
import io.github.nf4j.train.MemoryPlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;

/// A study as a table, and as a page with pictures.
public final class MethodReport {
    private MethodReport() {
    }

    private record Line(String name, List<String> cells) {
    }

    public static String markdown(MethodStudy study) {
        StringBuilder text = new StringBuilder("# LoRA and QLoRA on " + study.setup().model() + "\n\n| |");
        Arrays.stream(Method.values()).forEach(method -> text.append(' ').append(method.title()).append(" |"));
        text.append("\n|---|").append("--:|".repeat(Method.values().length)).append('\n');
        for (Line line : lines(study)) {
            text.append("| ").append(line.name).append(" | ").append(String.join(" | ", line.cells)).append(" |\n");
        }
        text.append('\n').append(notes(study));
        String failures = failures(study);
        return failures.isEmpty() ? text.toString() : text.append('\n').append(failures).toString();
    }

    public static String html(MethodStudy study) {
        return HtmlReport.page("LoRA and QLoRA",
                MethodCharts.of(study).svg() + HtmlReport.table(markdown(study).replaceFirst("^# .*\n", "")));
    }

    private static List<Line> lines(MethodStudy study) {
        Setup setup = study.setup();
        List<Line> lines = new ArrayList<>();
        lines.add(line("frozen weights", method -> study.weightBytes(method).map(MemoryPlan::text)));
        for (int length : setup.lengths()) {
            lines.add(line("peak memory, " + length + " tokens", method -> study.peakBytes(method, length).map(MemoryPlan::text)));
        }
        for (int length : setup.lengths()) {
            lines.add(line("tokens/s, " + length + " tokens", method -> study.tokensPerSecond(method, length).map(MethodReport::whole)));
        }
        String memory = MemoryPlan.text(setup.memory());
        lines.add(line("longest sequence in " + memory, method -> study.tokensThatFit(method).map(tokens -> tokens < setup.maxPositions()
                ? whole(tokens) : whole(setup.maxPositions()) + " (the model's limit)")));
        for (int length : setup.lengths()) {
            lines.add(line("largest batch of " + length + " tokens in " + memory,
                    method -> study.tokensThatFit(method).map(tokens -> whole(tokens / length))));
        }
        lines.add(line("held-out loss before", method -> loss(study, method, Loss::before)));
        lines.add(line("held-out loss after " + setup.trainSteps() + " steps", method -> loss(study, method, Loss::after)));
        return lines;
    }

    private static Line line(String name, Function<Method, Optional<String>> cell) {
        return new Line(name, Arrays.stream(Method.values()).map(method -> cell.apply(method).orElse("–")).toList());
    }

    private static Optional<String> loss(MethodStudy study, Method method, Function<Loss, Double> which) {
        return study.loss(method).filter(loss -> loss.failure() == null).map(loss -> String.format(Locale.ROOT, "%.4f", which.apply(loss)));
    }

    private static String whole(double number) {
        return String.format(Locale.ROOT, "%,.0f", number);
    }

    private static String notes(MethodStudy study) {
        Setup setup = study.setup();
        List<Integer> lengths = setup.lengths();
        String revision = study.gitSha() == null ? "unknown" : study.gitSha().substring(0, 12);
        return String.join("\n\n",
                study.machine().cpu() + ", " + study.machine().cores() + " cores, " + study.machine().isa()
                        + (study.machine().virtual() ? ", virtual" : "") + "; " + setup.threads() + " threads; revision " + revision + ".",
                "Adapters of rank " + setup.rank()
                        + " on all seven projections, AdamW; QLoRA's base is NF4 in blocks of 64, doubly quantized. "
                        + "F32 and BF16 are the types of the activations; dense weights have the same, or are BF16 where they are stored so.",
                "Each figure of memory and speed comes from processes of its own, " + setup.rounds()
                        + " for each cell, whose methods took turns: "
                        + "the peak is the largest resident memory of the whole process, Java included; the speed is that at the median step on "
                        + "random tokens, the first step left out. Longest sequence and largest batch were not run: they lie on the line through "
                        + "the peaks at " + lengths.get(lengths.size() - 2) + " and " + lengths.getLast()
                        + " tokens, as memory grows linearly with the tokens of a step.",
                "The loss is that on " + setup.held() + " after training on " + setup.data() + ", in batches of " + setup.batchSize()
                        + ", learning rate " + setup.learningRate() + " with a cosine.\n");
    }

    /// Why cells are empty.
    private static String failures(MethodStudy study) {
        List<String> lines = new ArrayList<>();
        study.steps().stream().filter(one -> one.failure() != null)
                .forEach(one -> lines.add(one.method().title() + ", " + one.length() + " tokens: " + one.failure()));
        study.losses().stream().filter(one -> one.failure() != null)
                .forEach(one -> lines.add(one.method().title() + ", loss: " + one.failure()));
        return lines.stream().distinct().map(line -> "- " + MarkdownReport.cell(line) + "\n").collect(Collectors.joining());
    }
}
