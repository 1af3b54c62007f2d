package io.github.nf4j.bench.report;

import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.CaseResult.Step;
import io.github.nf4j.bench.stats.Summary;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// The table of training steps, one line for each contender.
public final class TrainingReport {
    private TrainingReport() {
    }

    /// @param rows of one [io.github.nf4j.bench.train.TrainingComparison]
    public static String of(List<CaseResult> rows) {
        Map<String, String> lines = new LinkedHashMap<>();
        for (CaseResult row : rows) {
            String name = row.key().op().replace("train.", "nf4j-") + "-" + row.key().dtype();
            lines.put(name, row.isMeasured() ? line(row.step(), row.stats().median()) : row.status() + ": " + row.note() + " | | | | | ");
        }
        for (CaseResult row : rows) {
            for (Peer peer : row.peers()) {
                lines.putIfAbsent(peer.name(),
                        peer.stats() == null ? peer.note() + " | | | | | " : line(peer.step(), peer.stats().median()));
            }
        }
        StringBuilder text = new StringBuilder("| contender | tokens/s | step ms | forward ms | backward ms | optimizer ms | peak MiB |\n");
        text.append("|---|--:|--:|--:|--:|--:|--:|\n");
        lines.forEach((name, line) -> text.append("| ").append(name).append(" | ").append(line).append(" |\n"));
        return text.toString();
    }

    private static String line(Step step, double medianUs) {
        return String.format(Locale.ROOT, "%.1f | %.0f | %.0f | %.0f | %.0f | %d", step.tokensPerS(), medianUs / 1e3,
                Summary.median(step.forwardUs()) / 1e3, Summary.median(step.backwardUs()) / 1e3, Summary.median(step.optimizerUs()) / 1e3,
                step.peakMb());
    }
}
