package io.github.nf4j.bench.report;

import io.github.nf4j.bench.compare.FileComparison;
import io.github.nf4j.bench.compare.RowComparison;
import io.github.nf4j.bench.compare.RowHistory;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.stats.Interval;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/// Tables for people who read them in a terminal or a pull request.
public final class MarkdownReport {
    private MarkdownReport() {
    }

    /// All rows of a run, beside their floors and peers.
    public static String of(ResultFile file) {
        StringBuilder text = new StringBuilder(header(file));
        text.append("\n| case | median us | quartiles | GFLOP/s | GB/s | of floor | peers (our time / theirs) | |\n");
        text.append("|---|--:|--:|--:|--:|--:|---|---|\n");
        for (CaseResult row : file.cases()) {
            text.append("| ").append(row.id()).append(" | ");
            if (row.isMeasured()) {
                text.append(String.format(Locale.ROOT, "%s | %s … %s | %s | %s | %s", Charts.number(row.stats().median()),
                        Charts.number(row.stats().q1()), Charts.number(row.stats().q3()), Charts.number(row.rate().gflops()),
                        Charts.number(row.rate().gbs()), row.rate().ofFloor() == null ? "" : String.format(Locale.ROOT, "%.0f %% (%s)",
                                100 * row.rate().ofFloor(), row.rate().bound())));
            } else {
                text.append("| | | |");
            }
            text.append(" | ").append(row.peers().stream().map(MarkdownReport::peer).collect(Collectors.joining("; "))).append(" | ")
                    .append(row.status() == CaseResult.Status.OK ? "" : row.status() + ": " + cell(row.note())).append(" |\n");
        }
        return text.toString();
    }

    /// Verdicts, those that matter most first.
    public static String of(FileComparison comparison) {
        StringBuilder text = new StringBuilder("Base: " + header(comparison.base()) + "\nNew: " + header(comparison.candidate()));
        text.append("\n| verdict | case | base us | new us | new / base | 99 % interval | threshold |\n|---|---|--:|--:|--:|--:|--:|\n");
        comparison.rows().stream().sorted((a, b) -> rank(a) - rank(b)).forEach(row -> text.append(String.format(Locale.ROOT,
                "| %s | %s | %s | %s | %s |%n", row.kind(), row.id(), median(row.base()), median(row.candidate()), ratio(row))));
        return text + "\n" + summary(comparison) + "\n";
    }

    /// The latest medians among those of earlier runs; empty where there are none.
    public static String of(List<RowHistory> histories) {
        if (histories.isEmpty()) {
            return "";
        }
        StringBuilder text = new StringBuilder(
                "| case | runs before | their median us | band us | latest us | |\n|---|--:|--:|--:|--:|---|\n");
        for (RowHistory row : histories) {
            text.append(String.format(Locale.ROOT, "| %s | %d | %s | %s | %s | %s |%n", row.latest().id(), row.past().size(),
                    Charts.number(row.band().centre()), Charts.band(row), Charts.number(row.latest().stats().median()),
                    row.isSlower() ? "slower" : row.isFaster() ? "faster" : ""));
        }
        return text.toString();
    }

    /// One line: how many of each.
    public static String summary(FileComparison comparison) {
        String counts = Arrays.stream(RowComparison.Kind.values()).filter(kind -> comparison.count(kind) > 0)
                .map(kind -> comparison.count(kind) + " " + kind).collect(Collectors.joining(", "));
        return counts + String.format(Locale.ROOT, " of %d; geometric mean of new / base %.3f", comparison.rows().size(),
                comparison.geometricMean());
    }

    private static String header(ResultFile file) {
        String code = file.code().gitSha() == null ? "unknown revision"
                : file.code().gitSha() + (file.code().dirty() ? " with changes" : "");
        String floors = file.floors() == null ? "floors not measured" : String.format(Locale.ROOT,
                "measured limits: copy %.1f GB/s, read %.1f GB/s, F32 %s, BF16 %s", file.floors().copyGbs(), file.floors().readGbs(),
                gflops(file.floors().fmaGflops()), gflops(file.floors().bf16Gflops()));
        return file.run().id() + ", suite " + file.run().suite() + ", " + code + "\n\n" + file.machine().fingerprint() + " ("
                + file.machine().cpu() + ", " + file.machine().isa() + (file.machine().virtual() ? ", virtual" : "") + "); " + floors
                + "\n";
    }

    private static String gflops(Double value) {
        return value == null ? "unknown" : Charts.number(value) + " GFLOP/s";
    }

    private static String peer(Peer peer) {
        return cell(peer.name() + " " + (peer.ratio() == null ? peer.note() : String.format(Locale.ROOT, "%.3f", peer.ratio())));
    }

    private static String median(CaseResult row) {
        return row == null ? "" : row.isMeasured() ? Charts.number(row.stats().median()) : row.status() + ": " + cell(row.note());
    }

    private static String ratio(RowComparison row) {
        if (row.comparison() == null) {
            return "| |";
        }
        Interval ratio = row.comparison().ratio();
        return String.format(Locale.ROOT, "%.3f | %s | %.1f %%", ratio.centre(), ratio.isUnbounded() ? "too few samples"
                : String.format(Locale.ROOT, "%.3f … %.3f", ratio.low(), ratio.high()), 100 * row.comparison().threshold());
    }

    /// What may be in a note must not end the cell of a table.
    public static String cell(String text) {
        return text == null ? "" : text.replace("|", "\\|").replace("\n", " ");
    }

    private static int rank(RowComparison row) {
        return switch (row.kind()) {
            case WRONG -> 0;
            case SLOW -> 1;
            case AMBIGUOUS -> 2;
            case MISSING -> 3;
            case FAST -> 4;
            case NEW -> 5;
            case SAME -> 6;
        };
    }
}
