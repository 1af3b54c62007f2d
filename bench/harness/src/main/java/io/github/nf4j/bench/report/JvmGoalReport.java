package io.github.nf4j.bench.report;

import io.github.nf4j.bench.goals.JvmGoal.Measure;
import io.github.nf4j.bench.goals.JvmGoal.Outcome;
import java.util.List;
import java.util.Locale;

/// The table of what the way through the JVM may cost.
public final class JvmGoalReport {
    private JvmGoalReport() {
    }

    /// Ends with how many goals are met.
    public static String of(List<Outcome> outcomes) {
        StringBuilder text = new StringBuilder("| goal | call | Java ns | C ns | measured | at most | |\n|---|---|--:|--:|--:|--:|---|\n");
        for (Outcome outcome : outcomes) {
            Measure measure = outcome.goal().measure();
            text.append(String.format(Locale.ROOT, "| %s | %s | %s | %s | %s | %s | %s |%n", outcome.goal().name(),
                    outcome.cost() == null ? MarkdownReport.cell(outcome.goal().call().pattern()) : outcome.cost().benchmark(),
                    outcome.cost() == null ? "" : Charts.number(outcome.cost().nanos()),
                    outcome.fromC() == null ? "" : Charts.number(outcome.fromC()),
                    outcome.value() == null ? "" : amount(measure, outcome.value()), amount(measure, outcome.goal().atMost()),
                    outcome.note() != null ? "not measured: " + outcome.note() : outcome.isMet() ? "met" : "missed"));
        }
        return text + "\n" + outcomes.stream().filter(Outcome::isMet).count() + " of " + outcomes.size() + " goals met\n";
    }

    private static String amount(Measure measure, double value) {
        return switch (measure) {
            case OVER_C_NS -> String.format(Locale.ROOT, "%.1f ns", value);
            case OVER_C_SHARE -> String.format(Locale.ROOT, "%.2f %%", 100 * value);
            case BYTES -> String.format(Locale.ROOT, "%.1f B", value);
        };
    }
}
