package io.github.nf4j.bench.report;

import io.github.nf4j.bench.report.Canvas.Anchor;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.stats.Summary;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;

/// Our time beside each peer's, for every operation that has peers, and how near the floor it is. Whole training steps have other peers and
/// are in a table of their own, [TrainingReport].
public final class PeerChart {
    private static final int WIDTH = 960;
    private static final int LEFT = 250;
    private static final int RIGHT = 760;
    /// Of the first line, below a legend of one row.
    private static final int TOP = 92;
    private static final int LEGEND_ROW = 16;
    private static final int LINE = 22;
    private static final double[] TICKS = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20};
    /// Our own, called from C: no peer.
    private static final String OURS = "nf4j-c";

    private PeerChart() {
    }

    /// Rows of one operation, type and number of tokens: they differ in shape alone.
    private record Group(String op, String dtype, long tokens) {
        private static final Comparator<Group> ORDER = Comparator.comparing(Group::op)
                .thenComparing(Group::dtype, Comparator.reverseOrder())
                .thenComparing(Group::tokens);

        static Group of(CaseResult row) {
            return new Group(row.key().op(), row.key().dtype(), row.key().dims().getOrDefault("m", 0L));
        }

        String title() {
            return op + ", " + dtype.toUpperCase(Locale.ROOT) + (tokens == 0 ? "" : ", M = " + tokens);
        }
    }

    /// Empty where no operation was measured beside a peer.
    public static Optional<Picture> of(ResultFile file) {
        Map<Group, List<CaseResult>> groups = new TreeMap<>(Group.ORDER);
        TreeSet<String> names = new TreeSet<>();
        for (CaseResult row : file.cases()) {
            List<Peer> peers = measured(row);
            if (row.isMeasured() && !row.key().scope().equals("step") && !peers.isEmpty()) {
                groups.computeIfAbsent(Group.of(row), _ -> new ArrayList<>()).add(row);
                peers.forEach(peer -> names.add(peer.name()));
            }
        }
        if (groups.isEmpty()) {
            return Optional.empty();
        }
        List<String> legend = List.copyOf(names);
        int top = TOP + LEGEND_ROW * legendAt(legend, legend.size())[1];
        int height = top + LINE * groups.size() + 44;
        double[] ratios = groups.values().stream().flatMap(List::stream).flatMap(row -> measured(row).stream()).mapToDouble(Peer::ratio)
                .toArray();
        Scale x = new Scale(Math.min(0.5, Arrays.stream(ratios).min().orElseThrow() / 1.1),
                Math.max(2, Arrays.stream(ratios).max().orElseThrow() * 1.1), LEFT + 8, RIGHT);
        return Optional.of(new Picture("Time of nf4j / time of each peer", WIDTH, height, canvas -> {
            frame(canvas, x, top, height, legend);
            int line = 0;
            for (Map.Entry<Group, List<CaseResult>> group : groups.entrySet()) {
                line(canvas, x, top + LINE * line++, group.getKey(), group.getValue(), legend);
            }
            canvas.label(8, height - 8, Anchor.START,
                    file.machine().cpu() + ", " + file.machine().cores() + " cores, " + file.machine().isa()
                            + "; run " + file.run().id() + noisy(groups.values()));
        }));
    }

    private static void frame(Canvas canvas, Scale x, int top, int height, List<String> legend) {
        canvas.heading(8, 20, "Time of nf4j / time of the peer");
        for (int i = 0; i < legend.size(); i++) {
            int[] at = legendAt(legend, i);
            canvas.dot(at[0], 35 + LEGEND_ROW * at[1], 4, Palette.series(i), legend.get(i))
                    .label(at[0] + 8, 39 + LEGEND_ROW * at[1], Anchor.START, legend.get(i));
        }
        int first = top - 30;
        int second = top - 17;
        canvas.label(x.at(1) - 8, first, Anchor.END, "nf4j is faster").label(x.at(1) + 8, first, Anchor.START, "the peer is faster");
        canvas.label(RIGHT + 90, first, Anchor.END, "to the best").label(RIGHT + 90, second, Anchor.END, "(geom. mean)")
                .label(WIDTH - 12, first, Anchor.END, "of the floor").label(WIDTH - 12, second, Anchor.END, "(median)");
        for (double tick : TICKS) {
            if (tick >= x.low() && tick <= x.high()) {
                canvas.line(x.at(tick), top - 24, x.at(tick), height - 40, tick == 1 ? Palette.BLACK : Palette.PALE, 1)
                        .label(x.at(tick), height - 26, Anchor.MIDDLE, Double.toString(tick).replaceFirst("\\.0$", ""));
            }
        }
    }

    /// Where a name of the legend stands: pixels from the left, and the row.
    private static int[] legendAt(List<String> legend, int index) {
        int x = 12;
        int row = 0;
        for (int i = 0; i <= index && i < legend.size(); i++) {
            int width = 30 + (int) (6.2 * legend.get(i).length());
            if (x + width > WIDTH) {
                x = 12;
                row++;
            }
            if (i < index) {
                x += width;
            }
        }
        return new int[] {x, row};
    }

    private static void line(Canvas canvas, Scale x, double y, Group group, List<CaseResult> rows, List<String> legend) {
        canvas.label(LEFT - 10, y + 4, Anchor.END, group.title());
        double logarithms = 0;
        for (CaseResult row : rows) {
            double worst = 0;
            for (Peer peer : measured(row)) {
                canvas.dot(x.at(peer.ratio()), y, 4, Palette.series(legend.indexOf(peer.name())),
                        peer.name() + " " + row.key().shape() + ": " + Charts.number(peer.ratio()));
                worst = Math.max(worst, peer.ratio());
            }
            logarithms += Math.log(worst);
        }
        canvas.label(RIGHT + 90, y + 4, Anchor.END, String.format(Locale.ROOT, "%.2f", Math.exp(logarithms / rows.size())));
        double[] floors = rows.stream().map(row -> row.rate().ofFloor()).filter(Objects::nonNull).mapToDouble(Double::doubleValue)
                .toArray();
        if (floors.length > 0) {
            canvas.label(WIDTH - 12, y + 4, Anchor.END, String.format(Locale.ROOT, "%.0f %%", 100 * Summary.median(floors)));
        }
    }

    private static String noisy(Collection<List<CaseResult>> groups) {
        List<CaseResult> rows = groups.stream().flatMap(List::stream).toList();
        long noisy = rows.stream().filter(row -> row.status() == CaseResult.Status.NOISY).count();
        return noisy == 0 ? "" : "; " + noisy + " of " + rows.size() + " rows noisy";
    }

    private static List<Peer> measured(CaseResult row) {
        return row.peers().stream().filter(peer -> peer.ratio() != null && !peer.name().equals(OURS)).toList();
    }
}
