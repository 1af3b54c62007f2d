package io.github.nf4j.bench.report;

import io.github.nf4j.bench.goals.Goal;
import io.github.nf4j.bench.goals.Goal.Measure;
import java.util.List;
import java.util.Locale;

/// The table of goals: floor, peer, ours, met or not.
public final class GoalReport {
    private GoalReport() {
    }

    /// Ends with how many are met of those that this machine can show.
    public static String of(List<Goal.Outcome> outcomes) {
        StringBuilder text = new StringBuilder("| goal | case | floor | best peer | ours | ours / peer | at most | |\n");
        text.append("|---|---|--:|--:|--:|--:|--:|---|\n");
        for (Goal.Outcome outcome : outcomes) {
            boolean time = outcome.goal().measure() == Measure.TIME && outcome.row() != null && outcome.row().isMeasured();
            text.append(String.format(Locale.ROOT, "| %s | %s | %s | %s | %s | %s | %.3f | %s |%n", outcome.goal().name(),
                    outcome.row() == null ? "" : outcome.row().id(), time ? amount(outcome, outcome.row().rate().floorUs()) : "",
                    outcome.peer() == null ? "" : outcome.peer() + " " + amount(outcome, outcome.theirs()), amount(outcome, outcome.ours()),
                    outcome.ratio() == null ? "" : String.format(Locale.ROOT, "%.3f", outcome.ratio()), outcome.goal().ratioAtMost(),
                    verdict(outcome)));
        }
        long measurable = outcomes.stream().filter(Goal.Outcome::isMeasurable).count();
        if (measurable < outcomes.size()) {
            text.append('\n').append(outcomes.size() - measurable).append(" more goals are not measurable here\n");
        }
        return text + "\n" + outcomes.stream().filter(Goal.Outcome::isMet).count() + " of " + measurable + " goals met\n";
    }

    private static String amount(Goal.Outcome outcome, Double value) {
        return value == null ? "" : Charts.number(value) + (outcome.goal().measure() == Measure.MEMORY ? " MiB" : " us");
    }

    private static String verdict(Goal.Outcome outcome) {
        if (!outcome.isMeasurable()) {
            return outcome.note();
        }
        if (outcome.ratio() == null) {
            return "not measured: " + outcome.note();
        }
        return (outcome.isMet() ? "met" : "missed") + (outcome.isNoisy() ? " (noisy)" : "");
    }
}
