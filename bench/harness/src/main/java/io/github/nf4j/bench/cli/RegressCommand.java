package io.github.nf4j.bench.cli;

import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.regress.Build;
import io.github.nf4j.bench.regress.Judge;
import io.github.nf4j.bench.regress.Judge.Judgement;
import io.github.nf4j.bench.regress.WorkerPasses;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `nf4j-bench regress`.
@Command(name = "regress", mixinStandardHelpOptions = true, description = {
        "Builds another revision and measures both in turns, in one session. Slower and faster count when two passes with fresh "
                + "processes agree.",
        "Exit code: 0 no regression, 1 regression, 2 unusable, 4 not enough evidence (--fail-on ambg), 5 wrong results."})
final class RegressCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Option(names = "--base", required = true, paramLabel = "GIT_REV", description = "What to compare this build with.")
    private String base;

    @Mixin
    private CaseOptions options;

    @Mixin
    private BackendOptions where;

    @Mixin
    private GateOptions gate;

    @Mixin
    private JudgeOptions judging;

    @Option(names = "--seed", defaultValue = "1", paramLabel = "N", description = "Of the inputs. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Override
    public Integer call() throws IOException, InterruptedException {
        List<BenchCase> cases = options.cases();
        PrintWriter out = spec.commandLine().getOut();
        WorkerPasses.Target target = options.target(where, seed);
        Build before = Build.ofRevision(Checkout.current(), base);
        Judge judge = judging.judge(before, Build.current("new"), target, 0);
        Map<Verdict, Integer> counts = new EnumMap<>(Verdict.class);
        List<Judgement> judgements = new ArrayList<>();
        for (BenchCase benchCase : cases) {
            Judgement judgement = judge.judge(benchCase);
            print(out, benchCase, judgement);
            counts.merge(judgement.verdict(), 1, Integer::sum);
            judgements.add(judgement);
        }
        out.printf("%s against %s: %s of %d%n", "new", before.name(), counts, cases.size());
        out.flush();
        return exitCode(judgements, gate);
    }

    static int exitCode(List<Judgement> judgements, GateOptions gate) {
        long wrong = judgements.stream().filter(Judgement::wrong).count();
        long failed = judgements.stream().filter(judgement -> judgement.failure() != null && !judgement.wrong()).count();
        long slow = judgements.stream().filter(judgement -> judgement.verdict() == Verdict.SLOW).count();
        long ambiguous = judgements.stream().filter(judgement -> judgement.verdict() == Verdict.AMBIGUOUS).count();
        return failed == judgements.size() ? ExitCode.UNUSABLE : gate.exitCode(wrong, slow, ambiguous, failed);
    }

    static void print(PrintWriter out, BenchCase benchCase, Judgement judgement) {
        String ratio = judgement.ratio() == null ? judgement.failure() : String.format(Locale.ROOT, "%.3f [%.3f, %.3f] in pass %d%s",
                judgement.ratio().centre(), judgement.ratio().low(), judgement.ratio().high(), judgement.passes().size(),
                judgement.isNoisy() ? ", noisy" : "");
        out.printf("%-10s %-80s %s%n", judgement.wrong() ? "WRONG" : judgement.verdict(), benchCase.op() + " " + benchCase.shapeText(),
                ratio);
        out.flush();
    }
}
