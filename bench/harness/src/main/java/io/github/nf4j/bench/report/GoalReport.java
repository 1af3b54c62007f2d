package io.github.nf4j.bench.report;

import io.github.nf4j.bench.goals.Goal;
import io.github.nf4j.bench.result.CaseResult.Status;
import java.util.List;
import java.util.Locale;

/// The table of goals: floor, peer, ours, met or not.
public final class GoalReport {
    private GoalReport() {
    }

    public static String of(List<Goal.Outcome> outcomes) {
        StringBuilder text = new StringBuilder("| goal | case | floor us | best peer us | ours us | ours / peer | at most | |\n");
        text.append("|---|---|--:|--:|--:|--:|--:|---|\n");
        for (Goal.Outcome outcome : outcomes) {
            boolean measured = outcome.row().isMeasured();
            Double floor = measured ? outcome.row().rate().floorUs() : null;
            text.append(String.format(Locale.ROOT, "| %s | %s | %s | %s | %s | %s | %.3f | %s |%n", outcome.goal().name(),
                    outcome.row().id(),
                    floor == null ? "" : Charts.number(floor),
                    outcome.best() == null ? "" : outcome.best().name() + " " + Charts.number(outcome.best().stats().median()),
                    measured ? Charts.number(outcome.row().stats().median()) : "",
                    outcome.best() == null ? "" : String.format(Locale.ROOT, "%.3f", outcome.best().ratio()), outcome.goal().ratioAtMost(),
                    verdict(outcome)));
        }
        long met = outcomes.stream().filter(Goal.Outcome::isMet).count();
        return text + "\n" + met + " of " + outcomes.size() + " goals met\n";
    }

    private static String verdict(Goal.Outcome outcome) {
        if (outcome.note() != null) {
            return "not measured: " + outcome.note();
        }
        return (outcome.isMet() ? "met" : "missed") + (outcome.row().status() == Status.NOISY ? " (noisy)" : "");
    }
}
