package io.github.nf4j.bench.goals;

import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.CaseResult.Status;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/// What rows of the suite `limits` should reach.
///
/// @param op          regular expression for the operation
/// @param backend     `cpu` where it is not said
/// @param dtype       null takes both
/// @param mFrom       smallest number of tokens; 0 also takes rows that have none
/// @param mTo         largest, null for any
/// @param measure     what is compared; time where it is not said
/// @param peers       the best of them counts; `floor` is the least time that the machine allows
/// @param ratioAtMost ours / its
public record Goal(String name, Pattern op, String backend, String dtype, long mFrom, Long mTo, Measure measure, List<String> peers,
        double ratioAtMost) {
    private static final String FLOOR = "floor";

    public Goal {
        backend = backend == null ? "cpu" : backend;
        measure = measure == null ? Measure.TIME : measure;
    }

    /// What is compared.
    public enum Measure {
        TIME, MEMORY
    }

    /// @param row    null where this machine has no row for the goal
    /// @param peer   the best that was measured, null if none was
    /// @param theirs its time in microseconds or its memory in MiB
    /// @param ours   the same of our row
    /// @param note   why there is no ratio, else null
    public record Outcome(Goal goal, CaseResult row, String peer, Double theirs, Double ours, Double ratio, String note) {
        public boolean isMet() {
            return ratio != null && ratio <= goal.ratioAtMost;
        }

        /// Whether the machine could show it, if all peers were installed.
        public boolean isMeasurable() {
            return row != null;
        }

        public boolean isNoisy() {
            return row != null && row.status() == Status.NOISY;
        }
    }

    /// Every goal on every row that it is for; rows with warm caches have none. A goal of a backend that has no rows has one outcome,
    /// which says so.
    public static List<Outcome> judge(List<Goal> goals, List<CaseResult> rows) {
        List<Outcome> outcomes = new ArrayList<>();
        for (Goal goal : goals) {
            rows.stream().filter(goal::isFor).map(goal::judge).forEach(outcomes::add);
            if (!goal.backend.equals("cpu") && rows.stream().noneMatch(row -> row.key().backend().equals(goal.backend))) {
                outcomes.add(new Outcome(goal, null, null, null, null, null, "not measurable here: no GPU"));
            }
        }
        return outcomes;
    }

    private boolean isFor(CaseResult row) {
        Long m = row.key().dims().get("m");
        boolean size = m == null ? mFrom == 0 && mTo == null : m >= mFrom && (mTo == null || m <= mTo);
        return size && row.key().cache().equals("cold") && row.key().backend().equals(backend) && op.matcher(row.key().op()).find()
                && (dtype == null || dtype.equals(row.key().dtype()));
    }

    private Outcome judge(CaseResult row) {
        if (!row.isMeasured()) {
            return new Outcome(this, row, null, null, null, null, row.status() + ": " + row.note());
        }
        if (peers.equals(List.of(FLOOR))) {
            Double share = row.rate().ofFloor();
            return new Outcome(this, row, FLOOR, row.rate().floorUs(), row.stats().median(), share == null ? null : 1 / share,
                    share == null ? "its floor is not known" : null);
        }
        boolean memory = measure == Measure.MEMORY;
        double ours = memory ? row.step().peakMb() : row.stats().median();
        List<Peer> named = row.peers().stream().filter(peer -> peers.contains(peer.name())).toList();
        Optional<Peer> best = named.stream().filter(peer -> peer.stats() != null && (!memory || peer.step() != null))
                .min(Comparator.comparingDouble(peer -> memory ? peer.step().peakMb() : -peer.ratio()));
        if (best.isEmpty()) {
            String note = named.isEmpty() ? "no peer was asked for" : named.getFirst().name() + ": " + named.getFirst().note();
            return new Outcome(this, row, null, null, ours, null, note);
        }
        double theirs = memory ? best.get().step().peakMb() : best.get().stats().median();
        return new Outcome(this, row, best.get().name(), theirs, ours, memory ? Double.valueOf(ours / theirs) : best.get().ratio(), null);
    }
}
