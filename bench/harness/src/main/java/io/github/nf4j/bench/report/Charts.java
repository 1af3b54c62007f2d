package io.github.nf4j.bench.report;

import io.github.nf4j.bench.compare.RowComparison;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFile.Floors;
import io.github.nf4j.bench.stats.Interval;
import java.util.List;
import java.util.Locale;

/// The pictures of a report.
final class Charts {
    private static final int WIDTH = 960;
    private static final int MARGIN = 60;
    private static final String GREY = "#bbbbbb";
    private static final String BLACK = "#222222";
    private static final String BLUE = "#2266aa";
    private static final String GREEN = "#228833";
    private static final String RED = "#cc3311";
    private static final String AMBER = "#cc9900";

    private Charts() {
    }

    /// Speed against intensity, both logarithmic, below the machine's measured roofs.
    static String roofline(ResultFile file) {
        List<CaseResult> rows = file.cases().stream().filter(CaseResult::isMeasured).filter(row -> row.work().flops() > 0).toList();
        Floors floors = file.floors();
        if (floors == null || floors.fmaGflops() == null || rows.isEmpty()) {
            return "";
        }
        int height = 420;
        double peak = floors.bf16Gflops() == null ? floors.fmaGflops() : Math.max(floors.fmaGflops(), floors.bf16Gflops());
        double highest = Math.max(peak, rows.stream().mapToDouble(row -> row.rate().gflops()).max().orElseThrow()) * 2;
        double lowest = Math.min(peak / 1e4, rows.stream().mapToDouble(row -> row.rate().gflops()).min().orElseThrow() / 2);
        Scale x = new Scale(0.01, 1e4, MARGIN, WIDTH - 20);
        Scale y = new Scale(lowest, highest, height - 40, 20);
        Svg svg = new Svg(WIDTH, height, "Roofline");
        for (double decade = 0.01; decade <= 1e4; decade *= 10) {
            svg.line(x.at(decade), 20, x.at(decade), height - 40, "#eeeeee", 1).label(x.at(decade), height - 25, "middle", number(decade));
        }
        for (double decade = Math.pow(10, Math.ceil(Math.log10(lowest))); decade <= highest; decade *= 10) {
            svg.line(MARGIN, y.at(decade), WIDTH - 20, y.at(decade), "#eeeeee", 1).label(MARGIN - 6, y.at(decade) + 4, "end",
                    number(decade));
        }
        svg.label(WIDTH / 2.0, height - 8, "middle", "operations per byte").label(6, 12, "start", "GFLOP/s");
        roof(svg, x, y, floors.readGbs(), floors.fmaGflops(), "F32 fused multiply-add");
        if (floors.bf16Gflops() != null) {
            roof(svg, x, y, floors.readGbs(), floors.bf16Gflops(), "BF16 dot product");
        }
        for (CaseResult row : rows) {
            String colour = row.key().cache().equals("warm") ? GREY : row.key().dtype().equals("bf16") ? GREEN : BLUE;
            svg.dot(x.at(row.work().flops() / row.work().bytes()), y.at(row.rate().gflops()), 4, colour, row.id() + ": "
                    + number(row.rate().gflops()) + " GFLOP/s");
        }
        return svg.toString();
    }

    private static void roof(Svg svg, Scale x, Scale y, double gbs, double gflops, String name) {
        double ridge = gflops / gbs;
        double left = Math.max(x.low, y.low / gbs);
        svg.line(x.at(left), y.at(left * gbs), x.at(ridge), y.at(gflops), BLACK, 1.5);
        svg.line(x.at(ridge), y.at(gflops), x.at(x.high), y.at(gflops), BLACK, 1.5);
        svg.label(x.at(x.high), y.at(gflops) - 4, "end", name + " " + number(gflops) + " GFLOP/s");
    }

    /// New / base of each row, with its interval.
    static String ratios(List<RowComparison> rows) {
        List<RowComparison> compared = rows.stream().filter(row -> row.comparison() != null && !row.comparison().ratio().isUnbounded())
                .toList();
        if (compared.isEmpty()) {
            return "";
        }
        int height = 40 + 16 * compared.size();
        double left = 420;
        double least = Math.min(0.8, compared.stream().mapToDouble(row -> row.comparison().ratio().low()).min().orElseThrow());
        double most = Math.max(1.25, compared.stream().mapToDouble(row -> row.comparison().ratio().high()).max().orElseThrow());
        Scale x = new Scale(least, most, left, WIDTH - 60);
        Svg svg = new Svg(WIDTH, height, "Time of the new run / time of the base");
        svg.line(x.at(1), 10, x.at(1), height - 20, BLACK, 1).label(x.at(1), height - 6, "middle", "1");
        for (int i = 0; i < compared.size(); i++) {
            RowComparison row = compared.get(i);
            Interval ratio = row.comparison().ratio();
            double y = 20 + 16 * i;
            String colour = switch (row.kind()) {
                case SLOW, WRONG -> RED;
                case FAST -> GREEN;
                case SAME -> GREY;
                default -> AMBER;
            };
            svg.label(left - 8, y + 4, "end", abbreviated(row.id()));
            svg.line(x.at(ratio.low()), y, x.at(ratio.high()), y, colour, 2);
            svg.dot(x.at(ratio.centre()), y, 4, colour, row.id() + ": " + row.kind());
            svg.label(WIDTH - 4, y + 4, "end", String.format(Locale.ROOT, "%.3f", ratio.centre()));
        }
        return svg.toString();
    }

    /// Medians of one row over several runs, each with its quartiles.
    static String history(String id, List<CaseResult> runs) {
        int height = 120;
        double most = runs.stream().mapToDouble(row -> row.stats().q3()).max().orElseThrow() * 1.1;
        Svg svg = new Svg(WIDTH / 2, height, id);
        svg.label(4, 12, "start", abbreviated(id)).label(4, 26, "start", number(most) + " us");
        double step = (WIDTH / 2.0 - 2 * MARGIN) / Math.max(1, runs.size() - 1);
        for (int i = 0; i < runs.size(); i++) {
            CaseResult row = runs.get(i);
            double x = MARGIN + i * step;
            double y = height - 10 - (height - 40) * row.stats().median() / most;
            svg.line(x, height - 10 - (height - 40) * row.stats().q1() / most, x, height - 10 - (height - 40) * row.stats().q3() / most,
                    GREY, 4);
            svg.dot(x, y, 3, row.status() == CaseResult.Status.NOISY ? AMBER : BLUE, number(row.stats().median()) + " us");
        }
        svg.line(MARGIN, height - 10, WIDTH / 2.0 - MARGIN, height - 10, BLACK, 1);
        return svg.toString();
    }

    static String number(double value) {
        return value >= 100 ? String.format(Locale.ROOT, "%.0f", value) : String.format(Locale.ROOT, "%.3g", value);
    }

    private static String abbreviated(String id) {
        return id.length() <= 66 ? id : id.substring(0, 65) + "…";
    }

    /// From values to pixels, logarithmic.
    private record Scale(double low, double high, double from, double to) {
        double at(double value) {
            double share = (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low));
            return from + Math.clamp(share, 0, 1) * (to - from);
        }
    }
}
