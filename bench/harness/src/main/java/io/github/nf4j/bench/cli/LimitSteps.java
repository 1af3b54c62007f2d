package io.github.nf4j.bench.cli;

import io.github.nf4j.DeviceInfo;
import io.github.nf4j.bench.cases.Models;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.train.TrainingComparison;
import io.github.nf4j.bench.train.TrainingContender;
import io.github.nf4j.bench.train.TrainingPlan;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// The whole training steps of the suite `limits`: nf4j's, and those of PEFT that may be the best.
final class LimitSteps {
    private static final Model MODEL = Models.ALL.getFirst();
    private static final int TOKENS = 256;
    private static final int STEPS = 3;
    private static final int ROUNDS = 2;

    private LimitSteps() {
    }

    /// Adds rows to a result, saved after each process.
    ///
    /// @param peers  whether PEFT takes part
    /// @param quick  one layer and one step: to see that all of it works
    /// @param budget what is left of it, null for no limit
    static ResultFile run(PrintWriter console, Path out, ResultFile result, DeviceInfo device, boolean peers, boolean quick,
                          Duration budget)
            throws IOException, InterruptedException {
        List<TrainingContender> contenders = TrainingContender.all().stream().filter(one -> one.ours() || peers && one.tuned()).toList();
        int threads = Math.max(1, device.threads()); // a GPU says 0
        TrainingPlan plan = quick ? new TrainingPlan(MODEL, 1, 1, TOKENS / 16, 1, 1, device.backend(), threads, null)
                : new TrainingPlan(MODEL, MODEL.layers(), 1, TOKENS, STEPS, ROUNDS, device.backend(), threads, null);
        TrainingComparison comparison = new TrainingComparison(Checkout.current(), plan, contenders, result.machine(), result.floors());
        List<CaseResult> calls = result.cases().stream().filter(row -> !row.key().scope().equals("step")).toList();
        comparison.resume(result.cases().stream().filter(row -> row.key().scope().equals("step")).toList());
        long begin = System.nanoTime();
        double before = result.run().durationS();
        boolean finished = comparison.run(budget, (process, rows) -> {
            console.println(process);
            console.flush();
            ResultFiles.write(out, with(result, calls, rows, before + (System.nanoTime() - begin) / 1e9, false));
        });
        ResultFile whole = with(result, calls, comparison.rows(), before + (System.nanoTime() - begin) / 1e9,
                finished && result.run().finished());
        ResultFiles.write(out, whole);
        return whole;
    }

    private static ResultFile with(ResultFile result, List<CaseResult> calls, List<CaseResult> steps, double seconds, boolean finished) {
        List<CaseResult> all = new ArrayList<>(calls);
        all.addAll(steps);
        return result.with(result.run().after(seconds, finished), all);
    }
}
