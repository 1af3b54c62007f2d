package io.github.nf4j.bench.compare;

import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.stats.Band;
import java.util.ArrayList;
import java.util.List;

/// A row of the latest run among those of earlier ones.
///
/// @param past of the same machine, oldest first; one at least
/// @param band of their medians
public record RowHistory(CaseResult latest, List<CaseResult> past, Band band) {
    /// Of the rows that were measured in the latest run and in an earlier one.
    ///
    /// @param runs      of one machine, oldest first
    /// @param threshold the smallest relative change that matters
    public static List<RowHistory> of(List<ResultFile> runs, double threshold) {
        List<RowHistory> histories = new ArrayList<>();
        for (CaseResult latest : runs.getLast().cases()) {
            List<CaseResult> past = runs.subList(0, runs.size() - 1).stream().flatMap(run -> run.find(latest.id()).stream())
                    .filter(CaseResult::isMeasured).toList();
            if (latest.isMeasured() && !past.isEmpty()) {
                double[] medians = past.stream().mapToDouble(row -> row.stats().median()).toArray();
                histories.add(new RowHistory(latest, past, Band.of(threshold, medians)));
            }
        }
        return histories;
    }

    public boolean isSlower() {
        return latest.stats().median() > band.high();
    }

    public boolean isFaster() {
        return latest.stats().median() < band.low();
    }
}
