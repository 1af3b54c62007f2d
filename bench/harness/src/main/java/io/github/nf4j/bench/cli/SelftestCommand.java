package io.github.nf4j.bench.cli;

import io.github.nf4j.Device;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.regress.Build;
import io.github.nf4j.bench.regress.Calibration;
import io.github.nf4j.bench.regress.Judge.Judgement;
import io.github.nf4j.bench.regress.WorkerPasses;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Host;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Duration;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench selftest`.
@Command(name = "selftest", mixinStandardHelpOptions = true, description = {
        "Tests the gate on this machine: the same build against itself, and against itself made slower by 5 and by 10 %%. Ends with "
                + "a table for docs/benchmarking.md.",
        "Exit code: 0 at most 2 %% false alarms and at least 95 %% of the 10 %% found, else 4."})
final class SelftestCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private CaseOptions options;

    @Mixin
    private BackendOptions where;

    @Mixin
    private JudgeOptions judging;

    @Mixin
    private OutOptions out;

    @Option(names = "--runs", defaultValue = "50", paramLabel = "N", description = "Of each kind. Default: ${DEFAULT-VALUE}.")
    private int runs;

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (runs < 1) {
            throw new ParameterException(spec.commandLine(), "--runs is " + runs + "; expected at least 1");
        }
        List<BenchCase> cases = options.cases();
        WorkerPasses.Target target = options.target(where, 1);
        Calibration calibration = calibration();
        PrintWriter console = spec.commandLine().getOut();
        int wanted = runs * Calibration.SLOWDOWNS.size();
        int before = calibration.runs().size();
        long began = System.nanoTime();
        for (int run = 0; run < runs; run++) {
            for (double slowdown : Calibration.SLOWDOWNS) { // in turns, so that a busy hour hits all kinds alike
                if (calibration.has(slowdown, run)) {
                    continue;
                }
                BenchCase benchCase = cases.get(run % cases.size());
                Judgement judgement = judging.judge(Build.current("base"), Build.current("same"), target, slowdown).judge(benchCase);
                if (judgement.failure() != null) {
                    throw new IllegalStateException(benchCase.op() + " " + benchCase.shapeText() + ": " + judgement.failure());
                }
                calibration.add(out.file(), new Calibration.Run(slowdown, run, benchCase.op(), benchCase.shapeText(), judgement.verdict(),
                        judgement.passes()));
                int done = calibration.runs().size();
                long left = (System.nanoTime() - began) / (done - before) * (wanted - done);
                console.printf("%3d/%d, %2d:%02d left  %2.0f %%  ", done, wanted, Duration.ofNanos(left).toMinutes(),
                        Duration.ofNanos(left).toSecondsPart(), 100 * slowdown);
                RegressCommand.print(console, benchCase, judgement);
            }
        }
        console.println();
        console.print(calibration.markdown());
        console.flush();
        return calibration.isGood() ? ExitCode.OK : ExitCode.AMBIGUOUS;
    }

    private Calibration calibration() throws IOException {
        boolean resumes = out.resumes();
        Calibration.Setup setup;
        try (Device device = where.openDevice()) {
            Machine machine = Host.machine(device.info());
            setup = new Calibration.Setup(machine.fingerprint(), machine.cpu(), machine.cores(), Host.code(Checkout.current()).library(),
                    LocalDate.now(ZoneOffset.UTC).toString(), judging.threshold, judging.budget.toMillis() / 1e3);
        }
        return resumes ? Calibration.resume(out.file(), setup) : Calibration.create(out.file(), setup);
    }
}
