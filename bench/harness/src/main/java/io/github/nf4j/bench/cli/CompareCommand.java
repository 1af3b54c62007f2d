package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.compare.Baselines;
import io.github.nf4j.bench.compare.FileComparison;
import io.github.nf4j.bench.compare.RowComparison.Kind;
import io.github.nf4j.bench.report.HtmlReport;
import io.github.nf4j.bench.report.JunitReport;
import io.github.nf4j.bench.report.MarkdownReport;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.io.AtomicFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `nf4j-bench compare`.
@Command(name = "compare", mixinStandardHelpOptions = true, description = {"Compares two result files row by row.",
        "Exit code: 0 nothing to object to, 1 slower, 2 unusable files or nothing in both, 3 different machines, "
                + "4 not enough evidence (--fail-on ambg, missing), 5 wrong results."})
final class CompareCommand implements Callable<Integer> {
    private static final String PROMOTED = "baseline";

    @Spec
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "BASE",
            description = "A result file, or the word baseline for the promoted one of NEW's machine.")
    private String base;

    @Parameters(index = "1", paramLabel = "NEW")
    private Path candidate;

    @Mixin
    private GateOptions gate;

    @Option(names = "--threshold", defaultValue = "10%", converter = ShareConverter.class, paramLabel = "10%",
            description = "Changes below this do not matter; a row whose history varies more has a larger one. Two runs have nothing in "
                    + "common, so it is larger than that of regress. Default: ${DEFAULT-VALUE}.")
    private double threshold;

    @Option(names = "--ignore-env", description = "Compare although the machines differ. Verdicts mean little then.")
    private boolean ignoreEnv;

    @Option(names = "--baselines", paramLabel = "DIR", description = "Where baseline add keeps results. Default: bench/baselines.")
    private Path folder;

    @Option(names = "--md", paramLabel = "F.md", description = "Write the table there instead of printing it.")
    private Path markdown;

    @Option(names = "--html", paramLabel = "F.html", description = "Write a page with pictures.")
    private Path html;

    @Option(names = "--junit", paramLabel = "F.xml", description = "Write what CI servers read.")
    private Path junit;

    @Override
    public Integer call() throws IOException {
        Baselines baselines = new Baselines(folder == null ? Checkout.current().baselines() : folder);
        ResultFile after = ResultFiles.read(candidate);
        ResultFile before = base.equals(PROMOTED) ? baselines.promoted(after).orElseThrow(() -> new ParameterException(spec.commandLine(),
                "no baseline is promoted for suite " + after.run().suite() + " on " + after.machine().fingerprint()))
                : ResultFiles.read(Path.of(base));
        FileComparison comparison = FileComparison.of(before, after, baselines.history(after), threshold);
        if (!comparison.hasMatches()) {
            throw new ParameterException(spec.commandLine(), "nothing was measured in both files, of " + before.cases().size() + " and "
                    + after.cases().size() + " rows");
        }
        write(comparison);
        if (!comparison.isSameMachine()) {
            spec.commandLine().getErr().println((ignoreEnv ? "Warning: d" : "D") + "ifferent machines: " + before.machine().fingerprint()
                    + " and " + after.machine().fingerprint());
            if (!ignoreEnv) {
                return ExitCode.OTHER_MACHINE;
            }
        }
        return gate.exitCode(comparison.count(Kind.WRONG), comparison.count(Kind.SLOW), comparison.count(Kind.AMBIGUOUS),
                comparison.count(Kind.MISSING));
    }

    private void write(FileComparison comparison) throws IOException {
        if (markdown == null) {
            spec.commandLine().getOut().println(MarkdownReport.of(comparison));
        } else {
            AtomicFile.write(markdown, MarkdownReport.of(comparison));
        }
        if (html != null) {
            AtomicFile.write(html, HtmlReport.of(comparison));
        }
        if (junit != null) {
            AtomicFile.write(junit, JunitReport.of(comparison, gate.failing()));
        }
        spec.commandLine().getOut().flush();
    }
}
