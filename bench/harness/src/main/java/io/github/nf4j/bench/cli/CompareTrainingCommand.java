package io.github.nf4j.bench.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.report.TrainingReport;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.FloorProbe;
import io.github.nf4j.bench.run.Host;
import io.github.nf4j.bench.run.SuiteRun;
import io.github.nf4j.bench.train.TrainingComparison;
import io.github.nf4j.bench.train.TrainingContender;
import io.github.nf4j.bench.train.TrainingPlan;
import io.github.nf4j.io.AtomicFile;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench compare-training`.
@Command(name = "compare-training", mixinStandardHelpOptions = true,
        description = "Trains with nf4j, PEFT and PEFT + bitsandbytes in turns, each in a process of its own: tokens per second, parts of a "
                + "step, peak memory. Random weights of a real size, adapters of rank 16 on all seven projections, AdamW. Needs make interop.")
final class CompareTrainingCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private ModelOptions model;

    @Mixin
    private BackendOptions where;

    @Mixin
    private OutOptions out;

    @Option(names = "--contenders", defaultValue = "", paramLabel = "REGEX",
            description = "Only those in whose name this is found, such as 'nf4j|tuned': {nf4j,peft}-{lora,qlora}-{f32,bf16,all-bf16}, then "
                    + "-tuned (an allocator that keeps blocks, MKL's fast kernels on every vendor), then -checkpointed.")
    private Pattern only;

    @Option(names = "--sequences", defaultValue = "1", paramLabel = "N", description = "Of a step. Default: ${DEFAULT-VALUE}.")
    private int sequences;

    @Option(names = "--tokens", defaultValue = "256", paramLabel = "N", description = "Of a sequence. Default: ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--steps", defaultValue = "3", paramLabel = "N",
            description = "Counted steps of a process, after one more. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Option(names = "--rounds", defaultValue = "3", paramLabel = "N",
            description = "Processes of each contender. Default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(names = "--budget", converter = DurationConverter.class, paramLabel = "10m", description = "Start no process after this time.")
    private Duration budget;

    @Option(names = "--md", paramLabel = "F.md", description = "The table, which is printed too.")
    private Path markdown;

    @Override
    public Integer call() throws IOException, InterruptedException {
        Model chosen = model.model();
        int layers = model.layers();
        List<TrainingContender> contenders = TrainingContender.all().stream().filter(one -> only.matcher(one.name()).find()).toList();
        if (contenders.stream().noneMatch(TrainingContender::ours)) {
            throw usage("--contenders " + only + ": none of nf4j's is among them, and each row is one of nf4j's; the names are "
                    + TrainingContender.all().stream().map(TrainingContender::name).collect(Collectors.joining(", ")));
        }
        if (sequences < 1 || steps < 1 || rounds < 1 || tokens < 2) {
            throw usage("--sequences, --steps and --rounds must be at least 1, --tokens 2");
        }
        boolean resumes = out.resumes();
        Checkout checkout = Checkout.current();
        String missing = where.problem().orElse(null);
        try (Device device = missing == null ? where.openDevice() : Device.open(Backend.CPU)) {
            int threads = Math.max(1, device.info().threads()); // a GPU says 0
            Machine machine = Host.machine(device.info());
            ResultFile start = resumes ? ResultFiles.resumed(out.file(), machine, Host.code(checkout)) : new ResultFile(ResultFile.SCHEMA,
                    SuiteRun.header(spec.commandLine().getParseResult().originalArgs(), 1, "training"), Host.code(checkout), machine,
                    FloorProbe.measure(checkout, device, machine.llcMb()), List.of());
            TrainingPlan plan = new TrainingPlan(chosen, layers, sequences, tokens, steps, rounds, where.backend(), threads, missing);
            TrainingComparison comparison = new TrainingComparison(checkout, plan, contenders, machine, start.floors());
            comparison.resume(start.cases());
            return run(comparison, start);
        }
    }

    private int run(TrainingComparison comparison, ResultFile start) throws IOException, InterruptedException {
        PrintWriter console = spec.commandLine().getOut();
        long begin = System.nanoTime();
        boolean finished = comparison.run(budget, (process, rows) -> {
            console.println(process);
            console.flush();
            save(start, rows, begin, false);
        });
        List<CaseResult> rows = comparison.rows();
        save(start, rows, begin, finished);
        String table = TrainingReport.of(rows);
        console.print(table);
        if (!finished) {
            console.println("The budget ended before all rounds were run: run again with --resume.");
        }
        console.flush();
        if (markdown != null) {
            AtomicFile.write(markdown, table);
        }
        return rows.stream().anyMatch(row -> row.status() == Status.VOID) ? ExitCode.WRONG : ExitCode.OK;
    }

    private void save(ResultFile start, List<CaseResult> rows, long begin, boolean finished) throws IOException {
        ResultFiles.write(out.file(),
                start.with(start.run().after(start.run().durationS() + (System.nanoTime() - begin) / 1e9, finished), rows));
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
