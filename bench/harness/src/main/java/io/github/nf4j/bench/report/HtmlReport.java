package io.github.nf4j.bench.report;

import io.github.nf4j.bench.compare.FileComparison;
import io.github.nf4j.bench.compare.RowComparison.Kind;
import io.github.nf4j.bench.compare.RowHistory;
import io.github.nf4j.bench.goals.Goal;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/// One page that needs nothing but itself: made again from result files at any time, without measuring.
public final class HtmlReport {
    private static final String SAMPLES = "Rows that are slower or undecided. Two humps say that something switched between the samples.";

    private HtmlReport() {
    }

    /// The last of the runs in full, against the first, and each row's way from one to the other.
    ///
    /// @param runs     of one machine, oldest first
    /// @param outcomes of the goals that the last run has
    public static String of(List<ResultFile> runs, List<Goal.Outcome> outcomes, double threshold) {
        ResultFile last = runs.getLast();
        StringBuilder body = new StringBuilder();
        section(body, "Roofline", "Each dot is a case: blue F32, green BF16, grey with warm caches. The lines are what this machine was "
                + "measured to do.", svg(Charts.roofline(last)));
        section(body, "Beside peers", "Each dot is a shape; the best peer is the fastest of that row.", svg(PeerChart.of(last)));
        section(body, "Goals", "", outcomes.isEmpty() ? "" : table(GoalReport.of(outcomes)));
        List<CaseResult> steps = last.cases().stream().filter(row -> row.key().scope().equals("step")).toList();
        section(body, "Training steps", "Medians; the peak is that of a process, loading included.",
                steps.isEmpty() ? "" : table(TrainingReport.of(steps)));
        if (runs.size() > 1) {
            FileComparison comparison = FileComparison.of(runs.getFirst(), last, runs.subList(0, runs.size() - 1), threshold);
            section(body, "Against " + runs.getFirst().run().id(), MarkdownReport.summary(comparison),
                    svg(Charts.ratios(comparison.rows())));
            section(body, "Samples", SAMPLES, samples(comparison));
            section(body, "History",
                    "Medians with quartiles, oldest first. The band reaches from the median of the runs before the latest as "
                            + "far as the threshold of a change.",
                    RowHistory.of(runs, threshold).stream().map(row -> Charts.history(row).svg()).collect(Collectors.joining()));
        }
        section(body, "All rows", "", table(MarkdownReport.of(last)));
        return page(last.run().id(), body.toString());
    }

    public static String of(FileComparison comparison) {
        StringBuilder body = new StringBuilder();
        section(body, "New / base", MarkdownReport.summary(comparison), svg(Charts.ratios(comparison.rows())));
        section(body, "Samples", SAMPLES, samples(comparison));
        section(body, "Rows", "", table(MarkdownReport.of(comparison)));
        return page(comparison.candidate().run().id() + " against " + comparison.base().run().id(), body.toString());
    }

    private static String svg(Optional<Picture> picture) {
        return picture.map(Picture::svg).orElse("");
    }

    /// Of the rows that somebody will want to look into.
    private static String samples(FileComparison comparison) {
        return comparison.rows().stream().filter(row -> row.kind() == Kind.SLOW || row.kind() == Kind.AMBIGUOUS)
                .map(row -> Charts.samples(row).svg()).collect(Collectors.joining());
    }

    private static void section(StringBuilder body, String title, String text, String content) {
        if (!content.isEmpty()) {
            body.append("<h2>").append(Svg.escape(title)).append("</h2>\n<p>").append(Svg.escape(text)).append("</p>\n").append(content);
        }
    }

    /// The Markdown table as HTML; what stands around it as paragraphs.
    public static String table(String markdown) {
        StringBuilder html = new StringBuilder();
        boolean inTable = false;
        for (String line : markdown.lines().filter(text -> !text.isBlank() && !text.startsWith("|---")).toList()) {
            boolean row = line.startsWith("|");
            if (row != inTable) {
                html.append(row ? "<table>\n" : "</table>\n");
            }
            String cell = row && !inTable ? "th" : "td";
            inTable = row;
            if (!row) {
                html.append("<p>").append(Svg.escape(line)).append("</p>\n");
                continue;
            }
            html.append("<tr>");
            for (String content : line.substring(1, line.lastIndexOf('|')).split("(?<!\\\\)\\|", -1)) {
                html.append('<').append(cell).append('>').append(Svg.escape(content.strip().replace("\\|", "|"))).append("</").append(cell)
                        .append('>');
            }
            html.append("</tr>\n");
        }
        return html + (inTable ? "</table>\n" : "");
    }

    /// A whole page around a body.
    public static String page(String title, String body) {
        return """
                <!DOCTYPE html>
                <html lang="en"><head><meta charset="utf-8"><title>nf4j-bench %s</title><style>
                body { font-family: sans-serif; margin: 2em auto; max-width: 1100px; color: #222 }
                table { border-collapse: collapse; font-size: 12px }
                td, th { border-bottom: 1px solid #ddd; padding: 2px 8px; text-align: left }
                </style></head><body>
                <h1>nf4j-bench %s</h1>
                """.formatted(Svg.escape(title), Svg.escape(title)) + body + "</body></html>\n";
    }
}
