package io.github.nf4j.bench.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.goals.Goal;
import io.github.nf4j.bench.goals.Goals;
import io.github.nf4j.bench.peers.PeerLibrary;
import io.github.nf4j.bench.peers.Peers;
import io.github.nf4j.bench.report.GoalReport;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.result.ResultFile.Floors;
import io.github.nf4j.bench.result.ResultFiles;
import io.github.nf4j.bench.run.CaseRunner;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.FloorProbe;
import io.github.nf4j.bench.run.Host;
import io.github.nf4j.bench.run.SuiteRun;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench run`.
@Command(name = "run", mixinStandardHelpOptions = true, description = "Measures a suite and writes a result file.")
final class RunCommand implements Callable<Integer> {
    /// Backends that train fast enough to be worth a row.
    private static final Set<Backend> TRAINING = EnumSet.of(Backend.CPU, Backend.CUDA);
    /// What a quick run takes for the last-level cache, which may have hundreds of MiB to fill for each case.
    private static final long QUICK_CACHE_MB = 8;

    @Spec
    private CommandSpec spec;

    @Mixin
    private CaseOptions options;

    @Mixin
    private BackendOptions where;

    @Mixin
    private OutOptions out;

    @Option(names = "--budget", converter = DurationConverter.class, paramLabel = "60s",
            description = "Begin no case after this time, and measure each for its share: 90s, 5m, 2h. Default: three seconds each.")
    private Duration budget;

    @Option(names = "--peers", split = ",", paramLabel = "NAME|all|none",
            description = "Libraries that products are measured beside: openblas, mkl, mkl-tuned, onednn, libtorch, cublas; with weights in 4 bits "
                    + "bitsandbytes, bitsandbytes-packed, llama.cpp-q4_0, nf4j-c. Default: all; none in suite smoke, and in suite limits "
                    + "the first four, which its goals name, and PEFT, unless none are wanted. On a GPU: cublas.")
    private List<String> peerNames;

    @Option(names = "--seed", defaultValue = "1", paramLabel = "N", description = "Of inputs and order. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(names = "--quick", description = "Measure each case as shortly as possible, and with small buffers: to see that all "
            + "of it works.")
    private boolean quick;

    @Override
    public Integer call() throws IOException, InterruptedException {
        List<BenchCase> cases = options.cases();
        List<PeerLibrary> libraries = options.scope == Scope.CALL ? peers() : List.of();
        if (options.scope == Scope.KERNEL && where.backend() != Backend.CPU) {
            throw usage("--scope kernel: the C driver runs the backend cpu alone");
        }
        PrintWriter console = spec.commandLine().getOut();
        Checkout checkout = Checkout.current();
        long begin = System.nanoTime();
        boolean resumes = out.resumes();
        try (Device device = where.openDevice()) {
            Machine machine = Host.machine(device.info());
            long cacheMb = quick ? Math.min(QUICK_CACHE_MB, machine.llcMb()) : machine.llcMb();
            ResultFile start = resumes
                    ? ResultFiles.resumed(out.file(), machine, Host.code(checkout)) : begun(checkout, machine, device, cacheMb);
            if (!start.run().suite().equals(suiteName())) {
                throw usage("--resume: " + out.file() + " is of suite " + start.run().suite() + "; this is " + suiteName());
            }
            if (start.floors() == null) {
                console.println("No floors: " + checkout.driver("floors") + " is not built; run make bench-build.");
            }
            ResultFile result;
            try (CaseRunner runner = new CaseRunner(device, machine, cacheMb, start.floors(), start.run().seed(), options.suite,
                    options.scope);
                    Peers beside = new Peers(libraries, checkout, device.info().threads(), cacheMb, device.info().freeMemory())) {
                result = new SuiteRun(out.file(), start).run(cases, runner, beside::of, budget, quick, row -> print(console, row));
            }
            if (options.suite == Suite.LIMITS && options.scope == Scope.CALL && options.isWholeSuite()
                    && TRAINING.contains(where.backend())) {
                Duration left = budget == null ? null : budget.minusNanos(System.nanoTime() - begin);
                result = LimitSteps.run(console, out.file(), result, device.info(), !libraries.isEmpty(), quick, left);
            }
            return finish(console, result, cases.size());
        }
    }

    private List<PeerLibrary> peers() {
        List<String> names = peerNames == null ? usualPeers() : peerNames;
        Map<String, PeerLibrary> known = new TreeMap<>();
        for (PeerLibrary library : PeerLibrary.values()) {
            known.put(library.toString(), library);
        }
        if (names.equals(List.of("none"))) {
            return List.of();
        }
        if (where.backend() == Backend.CUDA && !names.equals(List.of(PeerLibrary.CUBLAS.toString()))) {
            throw usage("--peers: beside a GPU stands " + PeerLibrary.CUBLAS + " alone");
        }
        if (names.equals(List.of("all"))) {
            return List.of(PeerLibrary.values());
        }
        for (String name : names) {
            if (!known.containsKey(name)) {
                throw usage("--peers " + name + ": no such library; " + Names.nearest(name, known.keySet()));
            }
        }
        return names.stream().distinct().map(known::get).toList();
    }

    private List<String> usualPeers() {
        if (where.backend() == Backend.CUDA) {
            return List.of(PeerLibrary.CUBLAS.toString());
        }
        return switch (options.suite) {
            case SMOKE -> List.of("none");
            case FULL -> List.of("all");
            case LIMITS -> PeerLibrary.BLAS.stream().map(PeerLibrary::toString).toList();
        };
    }

    /// As result files have it: baselines of different scopes are kept apart.
    private String suiteName() {
        return options.suite + (options.scope == Scope.CALL ? "" : "-" + options.scope);
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    private ResultFile begun(Checkout checkout, Machine machine, Device device, long cacheMb) throws IOException {
        Floors floors = FloorProbe.measure(checkout, device, cacheMb);
        return new ResultFile(ResultFile.SCHEMA, SuiteRun.header(spec.commandLine().getParseResult().originalArgs(), seed,
                suiteName()), Host.code(checkout), machine, floors, List.of());
    }

    private int finish(PrintWriter console, ResultFile result, int wanted) throws IOException {
        long wrong = count(result, Status.VOID);
        console.printf("%d rows in %s: %d noisy, %d void, %d skipped%n", result.cases().size(), out.file(), count(result, Status.NOISY),
                wrong,
                count(result, Status.SKIPPED));
        if (!result.run().finished()) {
            console.printf("The budget ended before all %d cases were measured: run again with --resume.%n", wanted);
        }
        boolean missed = false;
        if (options.suite == Suite.LIMITS) {
            List<Goal.Outcome> outcomes = Goal.judge(Goals.of(Checkout.current()).limits(), result.cases());
            console.print(GoalReport.of(outcomes));
            missed = !result.run().finished()
                    || !outcomes.stream().filter(Goal.Outcome::isMeasurable).allMatch(Goal.Outcome::isMet);
        }
        console.flush();
        return wrong > 0 ? ExitCode.WRONG : missed ? ExitCode.SLOW : ExitCode.OK;
    }

    private static long count(ResultFile result, Status status) {
        return result.cases().stream().filter(row -> row.status() == status).count();
    }

    private static void print(PrintWriter console, CaseResult row) {
        boolean slow = row.isMeasured() && row.rate().gbs() < 0.1; // tokenizers
        String figures = row.isMeasured()
                ? String.format(Locale.ROOT, "%12.2f us  %8.1f GFLOP/s %7.2f %s%s", row.stats().median(), row.rate().gflops(),
                        slow ? 1e3 * row.rate().gbs() : row.rate().gbs(), slow ? "MB/s" : "GB/s",
                        row.rate().ofFloor() == null ? "" : String.format(Locale.ROOT, "  %3.0f %% of %s floor",
                                100 * row.rate().ofFloor(), row.rate().bound()))
                : "";
        String note = row.status() == Status.OK ? "" : "  " + row.status() + ": " + row.note();
        console.printf("%-90s %s%s%n", row.id(), figures, note);
        for (CaseResult.Peer peer : row.peers()) {
            console.printf("%92s %s%n", peer.name(), peer.ratio() == null ? peer.note()
                    : String.format(Locale.ROOT, "%.2f us, our time is %.3f of it", peer.stats().median(), peer.ratio()));
        }
        console.flush();
    }
}
