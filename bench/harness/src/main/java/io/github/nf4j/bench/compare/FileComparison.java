package io.github.nf4j.bench.compare;

import io.github.nf4j.bench.compare.RowComparison.Kind;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.stats.Comparison;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;

/// Two runs, row by row.
///
/// @param geometricMean of the ratios new / base of the rows that were measured in both; NaN if there are none
public record FileComparison(ResultFile base, ResultFile candidate, List<RowComparison> rows, double geometricMean) {
    /// @param history   earlier runs of the same machine, whose spread widens the threshold of a row
    /// @param threshold the smallest relative change that matters
    public static FileComparison of(ResultFile base, ResultFile candidate, List<ResultFile> history, double threshold) {
        Set<String> ids = new LinkedHashSet<>();
        base.cases().forEach(row -> ids.add(row.id()));
        candidate.cases().forEach(row -> ids.add(row.id()));
        List<RowComparison> rows = ids.stream().map(id -> RowComparison.of(base.find(id).orElse(null), candidate.find(id).orElse(null),
                Comparison.threshold(threshold, medians(history, id)))).toList();
        double mean = Math.exp(rows.stream().map(RowComparison::comparison).filter(Objects::nonNull)
                .mapToDouble(comparison -> Math.log(comparison.ratio().centre())).average().orElse(Double.NaN));
        return new FileComparison(base, candidate, rows, mean);
    }

    public boolean isSameMachine() {
        return base.machine().fingerprint().equals(candidate.machine().fingerprint());
    }

    public long count(Kind kind) {
        return rows.stream().filter(row -> row.kind() == kind).count();
    }

    /// Whether there is anything to judge: a row that was measured in both runs, or whose new results are wrong.
    public boolean hasMatches() {
        return rows.stream().anyMatch(row -> row.comparison() != null || row.kind() == Kind.WRONG);
    }

    private static double[] medians(List<ResultFile> history, String id) {
        return history.stream().flatMap(file -> file.find(id).stream()).filter(CaseResult::isMeasured)
                .mapToDouble(row -> row.stats().median()).toArray();
    }
}
