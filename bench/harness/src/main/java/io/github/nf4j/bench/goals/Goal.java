package io.github.nf4j.bench.goals;

import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/// What rows of the suite `limits` should reach: data in bench/goals.json.
///
/// @param op          regular expression for the operation
/// @param dtype       null takes both
/// @param mFrom       smallest number of tokens
/// @param mTo         largest, null for any
/// @param peers       the fastest of them counts
/// @param ratioAtMost our time / its time
public record Goal(String name, Pattern op, String dtype, long mFrom, Long mTo, List<String> peers, double ratioAtMost) {
    /// @param best  the fastest peer that was measured, null if none was
    /// @param note  why none was, else null
    public record Outcome(Goal goal, CaseResult row, Peer best, String note) {
        public boolean isMet() {
            return best != null && best.ratio() <= goal.ratioAtMost;
        }
    }

    /// @throws IOException if the file is missing or not what it should be
    public static List<Goal> read(Path file) throws IOException {
        return Arrays.asList(JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE).build()
                .readValue(file.toFile(), Goal[].class));
    }

    /// Every goal on every row that it is for; rows with warm caches have none.
    public static List<Outcome> judge(List<Goal> goals, List<CaseResult> rows) {
        return goals.stream().flatMap(goal -> rows.stream().filter(goal::isFor).map(goal::judge)).toList();
    }

    private boolean isFor(CaseResult row) {
        Long m = row.key().dims().get("m");
        return row.key().cache().equals("cold") && op.matcher(row.key().op()).find() && (dtype == null || dtype.equals(row.key().dtype()))
                && m != null && m >= mFrom && (mTo == null || m <= mTo);
    }

    private Outcome judge(CaseResult row) {
        if (!row.isMeasured()) {
            return new Outcome(this, row, null, row.status() + ": " + row.note());
        }
        List<Peer> named = row.peers().stream().filter(peer -> peers.contains(peer.name())).toList();
        Optional<Peer> best = named.stream().filter(peer -> peer.ratio() != null).max(Comparator.comparingDouble(Peer::ratio));
        String note = named.isEmpty() ? "no peer was asked for" : named.getFirst().name() + ": " + named.getFirst().note();
        return new Outcome(this, row, best.orElse(null), best.isPresent() ? null : note);
    }
}
