package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.compare.RowHistory;
import io.github.nf4j.bench.goals.Goal;
import io.github.nf4j.bench.goals.Goals;
import io.github.nf4j.bench.report.GoalReport;
import io.github.nf4j.bench.report.HtmlReport;
import io.github.nf4j.bench.report.MarkdownReport;
import io.github.nf4j.bench.report.PeerChart;
import io.github.nf4j.bench.report.Picture;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.io.AtomicFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `nf4j-bench report`.
@Command(name = "report", mixinStandardHelpOptions = true,
        description = "Shows result files: the latest in full, and with several the way there. Nothing is measured.")
final class ReportCommand implements Callable<Integer> {
    /// As of compare.
    private static final double THRESHOLD = 0.10;

    @Spec
    private CommandSpec spec;

    @Parameters(arity = "1..*", paramLabel = "F.json")
    private List<Path> files;

    @Option(names = "--md", paramLabel = "F.md", description = "Write the table there instead of printing it.")
    private Path markdown;

    @Option(names = "--html", paramLabel = "F.html", description = "Write a self-contained page with pictures.")
    private Path html;

    @Option(names = "--png", paramLabel = "F.png", description = "Write a picture of our operations beside peers and floors.")
    private Path png;

    @Override
    public Integer call() throws IOException {
        List<ResultFile> all = files.stream().map(ResultFiles::read).sorted(Comparator.comparing(file -> file.run().startedUtc())).toList();
        ResultFile last = all.getLast();
        List<ResultFile> runs = all.stream().filter(run -> run.machine().fingerprint().equals(last.machine().fingerprint())).toList();
        if (runs.size() < all.size()) {
            spec.commandLine().getErr().printf("%d of %d files are of other machines than the latest, and left out%n",
                    all.size() - runs.size(), all.size());
        }
        String history = MarkdownReport.of(RowHistory.of(runs, THRESHOLD));
        List<Goal.Outcome> outcomes = Goals.of(Checkout.current()).judge(last);
        String goals = outcomes.isEmpty() ? "" : GoalReport.of(outcomes);
        String table = Stream.of(MarkdownReport.of(last), history, goals).filter(part -> !part.isEmpty()).collect(Collectors.joining("\n"));
        if (markdown == null) {
            spec.commandLine().getOut().println(table);
            spec.commandLine().getOut().flush();
        } else {
            AtomicFile.write(markdown, table);
        }
        if (png != null) {
            Picture picture = PeerChart.of(last).orElseThrow(() -> new ParameterException(spec.commandLine(),
                    "--png: no operation was measured beside a peer in " + last.run().id() + "; see run --peers"));
            picture.writePng(png);
        }
        if (html != null) {
            AtomicFile.write(html, HtmlReport.of(runs, outcomes, THRESHOLD));
        }
        return ExitCode.OK;
    }
}
