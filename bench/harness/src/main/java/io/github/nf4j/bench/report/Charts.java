package io.github.nf4j.bench.report;

import static io.github.nf4j.bench.report.Palette.AMBER;
import static io.github.nf4j.bench.report.Palette.BLACK;
import static io.github.nf4j.bench.report.Palette.BLUE;
import static io.github.nf4j.bench.report.Palette.GREEN;
import static io.github.nf4j.bench.report.Palette.GREY;
import static io.github.nf4j.bench.report.Palette.PALE;
import static io.github.nf4j.bench.report.Palette.RED;

import io.github.nf4j.bench.compare.RowComparison;
import io.github.nf4j.bench.compare.RowHistory;
import io.github.nf4j.bench.report.Canvas.Anchor;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFile.Floors;
import io.github.nf4j.bench.stats.Interval;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;

/// The pictures of a report.
final class Charts {
    private static final int WIDTH = 960;
    private static final int MARGIN = 60;
    private static final int BINS = 60;

    private Charts() {
    }

    /// Speed against intensity, both logarithmic, below the machine's measured roofs. Empty where they or rows are missing.
    static Optional<Picture> roofline(ResultFile file) {
        List<CaseResult> rows = file.cases().stream().filter(CaseResult::isMeasured).filter(row -> row.work().flops() > 0).toList();
        Floors floors = file.floors();
        if (floors == null || floors.fmaGflops() == null || rows.isEmpty()) {
            return Optional.empty();
        }
        int height = 420;
        double peak = floors.bf16Gflops() == null ? floors.fmaGflops() : Math.max(floors.fmaGflops(), floors.bf16Gflops());
        double highest = Math.max(peak, rows.stream().mapToDouble(row -> row.rate().gflops()).max().orElseThrow()) * 2;
        double lowest = Math.min(peak / 100, rows.stream().mapToDouble(row -> row.rate().gflops()).min().orElseThrow() / 2);
        double[] intensities = rows.stream().mapToDouble(row -> row.work().flops() / row.work().bytes()).toArray();
        double ridge = peak / floors.readGbs();
        Scale x = new Scale(Math.min(1, Arrays.stream(intensities).min().orElseThrow() / 2),
                Math.max(4 * ridge, 2 * Arrays.stream(intensities).max().orElseThrow()),
                MARGIN, WIDTH - 20);
        Scale y = new Scale(lowest, highest, height - 40, 20);
        return Optional.of(new Picture("Roofline", WIDTH, height, canvas -> {
            decades(x.low(), x.high()).forEach(decade -> canvas.line(x.at(decade), 20, x.at(decade), height - 40, PALE, 1)
                    .label(x.at(decade), height - 25, Anchor.MIDDLE, number(decade)));
            decades(y.low(), y.high()).forEach(decade -> canvas.line(MARGIN, y.at(decade), WIDTH - 20, y.at(decade), PALE, 1)
                    .label(MARGIN - 6, y.at(decade) + 4, Anchor.END, number(decade)));
            canvas.label(WIDTH / 2.0, height - 8, Anchor.MIDDLE, "operations per byte").label(6, 12, Anchor.START, "GFLOP/s");
            double slope = Math.sqrt(Math.max(x.low(), y.low() / floors.readGbs()) * ridge); // the middle of it
            canvas.label(x.at(slope) + 10, y.at(slope * floors.readGbs()) + 10, Anchor.START, "read " + number(floors.readGbs()) + " GB/s");
            roof(canvas, x, y, floors.readGbs(), floors.fmaGflops(), "F32 fused multiply-add");
            if (floors.bf16Gflops() != null) {
                roof(canvas, x, y, floors.readGbs(), floors.bf16Gflops(), "BF16 dot product");
            }
            for (CaseResult row : rows) {
                String colour = row.key().cache().equals("warm") ? GREY : row.key().dtype().equals("bf16") ? GREEN : BLUE;
                canvas.dot(x.at(row.work().flops() / row.work().bytes()), y.at(row.rate().gflops()), 4, colour, row.id() + ": "
                        + number(row.rate().gflops()) + " GFLOP/s");
            }
        }));
    }

    private static DoubleStream decades(double low, double high) {
        return DoubleStream.iterate(Math.pow(10, Math.ceil(Math.log10(low))), decade -> decade <= high, decade -> decade * 10);
    }

    private static void roof(Canvas canvas, Scale x, Scale y, double gbs, double gflops, String name) {
        double ridge = gflops / gbs;
        double left = Math.max(x.low(), y.low() / gbs);
        canvas.line(x.at(left), y.at(left * gbs), x.at(ridge), y.at(gflops), BLACK, 1.5)
                .line(x.at(ridge), y.at(gflops), x.at(x.high()), y.at(gflops), BLACK, 1.5)
                .label(x.at(ridge) - 6, y.at(gflops) + 4, Anchor.END, name + " " + number(gflops) + " GFLOP/s");
    }

    /// New / base of each row, with its interval. Empty where nothing was compared.
    static Optional<Picture> ratios(List<RowComparison> rows) {
        List<RowComparison> compared = rows.stream().filter(row -> row.comparison() != null && !row.comparison().ratio().isUnbounded())
                .toList();
        if (compared.isEmpty()) {
            return Optional.empty();
        }
        int height = 40 + 16 * compared.size();
        double left = 430;
        double least = Math.min(0.8, compared.stream().mapToDouble(row -> row.comparison().ratio().low()).min().orElseThrow());
        double most = Math.max(1.25, compared.stream().mapToDouble(row -> row.comparison().ratio().high()).max().orElseThrow());
        Scale x = new Scale(least, most, left, WIDTH - 60);
        return Optional.of(new Picture("Time of the new run / time of the base", WIDTH, height, canvas -> {
            canvas.line(x.at(1), 10, x.at(1), height - 20, BLACK, 1).label(x.at(1), height - 6, Anchor.MIDDLE, "1")
                    .label(x.from(), height - 6, Anchor.START, "faster").label(x.to(), height - 6, Anchor.END, "slower");
            for (int i = 0; i < compared.size(); i++) {
                RowComparison row = compared.get(i);
                Interval ratio = row.comparison().ratio();
                double y = 20 + 16 * i;
                String colour = colour(row);
                canvas.label(left - 8, y + 4, Anchor.END, title(row.candidate()))
                        .line(x.at(ratio.low()), y, x.at(ratio.high()), y, colour, 2)
                        .dot(x.at(ratio.centre()), y, 4, colour, row.id() + ": " + row.kind())
                        .label(WIDTH - 4, y + 4, Anchor.END, String.format(Locale.ROOT, "%.3f", ratio.centre()));
            }
        }));
    }

    private static String colour(RowComparison row) {
        return switch (row.kind()) {
            case SLOW, WRONG -> RED;
            case FAST -> GREEN;
            case SAME -> GREY;
            default -> AMBER;
        };
    }

    /// The samples of both runs: the base's upwards, the new one's downwards. Times are logarithmic, and the slowest 2 % left out.
    static Picture samples(RowComparison row) {
        int height = 190;
        int middle = 30 + (height - 60) / 2;
        double[] base = sorted(row.base());
        double[] candidate = sorted(row.candidate());
        double low = Math.min(base[0], candidate[0]);
        double high = Math.max(base[(int) (0.98 * (base.length - 1))], candidate[(int) (0.98 * (candidate.length - 1))]) * 1.001;
        Scale x = new Scale(low, high, MARGIN, WIDTH - MARGIN);
        return new Picture("Samples of " + row.id(), WIDTH, height, canvas -> {
            canvas.label(MARGIN, 14, Anchor.START, row.kind() + "  " + title(row.candidate()));
            canvas.label(MARGIN - 6, middle - 20, Anchor.END, "base").label(MARGIN - 6, middle + 26, Anchor.END, "new");
            bars(canvas, histogram(base, x), middle, -1, GREY);
            bars(canvas, histogram(candidate, x), middle, 1, colour(row));
            canvas.line(MARGIN, middle, WIDTH - MARGIN, middle, BLACK, 1);
            for (int i = 0; i <= 4; i++) {
                double value = low * Math.pow(high / low, i / 4.0);
                canvas.label(x.at(value), height - 6, Anchor.MIDDLE, number(value) + " us");
            }
        });
    }

    private static double[] sorted(CaseResult row) {
        double[] samples = row.timing().samplesUs().clone();
        Arrays.sort(samples);
        return samples;
    }

    /// Shares of the samples.
    private static double[] histogram(double[] samples, Scale x) {
        double[] shares = new double[BINS];
        for (double sample : samples) {
            if (sample <= x.high()) {
                int bin = (int) ((x.at(sample) - x.from()) / (x.to() - x.from()) * BINS);
                shares[Math.min(bin, BINS - 1)] += 1.0 / samples.length;
            }
        }
        return shares;
    }

    private static void bars(Canvas canvas, double[] shares, int middle, int direction, String colour) {
        double most = Arrays.stream(shares).max().orElseThrow();
        double space = middle - 30.0;
        double width = (WIDTH - 2.0 * MARGIN) / BINS;
        for (int i = 0; i < shares.length; i++) {
            double length = space * shares[i] / most;
            canvas.box(MARGIN + i * width, direction < 0 ? middle - length : middle, width - 1, length, colour,
                    String.format(Locale.ROOT, "%.1f %% of the samples", 100 * shares[i]));
        }
    }

    /// Medians of one row over several runs, each with its quartiles, and the band in which the latest is no change.
    static Picture history(RowHistory history) {
        int height = 120;
        int width = WIDTH / 2 - 4;
        List<CaseResult> runs = Stream.concat(history.past().stream(), Stream.of(history.latest())).toList();
        double most = Math.max(history.band().high(), runs.stream().mapToDouble(row -> row.stats().q3()).max().orElseThrow()) * 1.1;
        double scale = (height - 40) / most;
        double step = (width - 2.0 * MARGIN) / (runs.size() - 1);
        return new Picture("History of " + history.latest().id(), width, height, canvas -> {
            canvas.label(4, 12, Anchor.START, title(history.latest())).label(4, 32, Anchor.START, number(most) + " us")
                    .label(4, height - 6, Anchor.START, "0 us");
            double centre = height - 10 - scale * history.band().centre();
            canvas.box(MARGIN, height - 10 - scale * history.band().high(), width - 2.0 * MARGIN,
                    scale * (history.band().high() - history.band().low()), PALE, "band: " + band(history) + " us")
                    .line(MARGIN, centre, width - MARGIN, centre, GREY, 1);
            for (int i = 0; i < runs.size(); i++) {
                CaseResult row = runs.get(i);
                double x = MARGIN + i * step;
                canvas.line(x, height - 10 - scale * row.stats().q1(), x, height - 10 - scale * row.stats().q3(), GREY, 4)
                        .dot(x, height - 10 - scale * row.stats().median(), 3, colour(history, row), number(row.stats().median()) + " us");
            }
            canvas.line(MARGIN, height - 10, width - MARGIN, height - 10, BLACK, 1);
        });
    }

    private static String colour(RowHistory history, CaseResult row) {
        if (row.status() == CaseResult.Status.NOISY) {
            return AMBER;
        }
        boolean latest = row == history.latest();
        return latest && history.isSlower() ? RED : latest && history.isFaster() ? GREEN : BLUE;
    }

    static String band(RowHistory history) {
        return number(history.band().low()) + " … " + number(history.band().high());
    }

    static String number(double value) {
        return value >= 100 ? String.format(Locale.ROOT, "%.0f", value) : String.format(Locale.ROOT, "%.3g", value);
    }

    /// What people need to know of a row to find it in the table.
    private static String title(CaseResult row) {
        CaseResult.Key key = row.key();
        String tokens = key.dims().containsKey("m") ? ", M = " + key.dims().get("m") : "";
        return key.op() + " " + key.shape() + tokens + ", " + key.dtype() + ", " + key.scope() + " " + key.cache();
    }
}
