package io.github.nf4j.bench.compare;

import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.stats.Comparison;
import io.github.nf4j.bench.stats.Verdict;

/// One row of two runs.
///
/// @param base       null in [Kind#NEW]
/// @param candidate  null in [Kind#MISSING]
/// @param comparison null unless both were measured
public record RowComparison(String id, Kind kind, CaseResult base, CaseResult candidate, Comparison comparison) {
    public enum Kind {
        FAST, SLOW, SAME, AMBIGUOUS,
        /// Not measured in the new run.
        MISSING,
        /// Measured in the new run only.
        NEW,
        /// The new results are wrong.
        WRONG;

        static Kind of(Verdict verdict) {
            return switch (verdict) {
                case FAST -> FAST;
                case SLOW -> SLOW;
                case SAME -> SAME;
                case AMBIGUOUS -> AMBIGUOUS;
            };
        }
    }

    static RowComparison of(CaseResult base, CaseResult candidate, double threshold) {
        String id = candidate == null ? base.id() : candidate.id();
        if (candidate != null && candidate.status() == CaseResult.Status.VOID) {
            return new RowComparison(id, Kind.WRONG, base, candidate, null);
        }
        if (candidate == null || !candidate.isMeasured()) {
            return new RowComparison(id, Kind.MISSING, base, candidate, null);
        }
        if (base == null || !base.isMeasured()) {
            return new RowComparison(id, Kind.NEW, base, candidate, null);
        }
        Comparison comparison = Comparison.unpaired(base.timing().samplesUs(), candidate.timing().samplesUs(), threshold);
        // figures that a busy machine made prove nothing, neither a change nor its absence
        boolean noisy = base.status() == CaseResult.Status.NOISY || candidate.status() == CaseResult.Status.NOISY;
        return new RowComparison(id, noisy ? Kind.AMBIGUOUS : Kind.of(comparison.verdict()), base, candidate, comparison);
    }
}
