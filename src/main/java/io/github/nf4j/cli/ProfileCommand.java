package io.github.nf4j.cli;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.cli.ModelOptions.QuantizeOption;
import io.github.nf4j.io.AtomicFile;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.op.Work;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.Floors;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.PerfettoTrace;
import io.github.nf4j.train.PretrainedModel;
import io.github.nf4j.train.StepProfile;
import io.github.nf4j.train.StepProfile.Span;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `nf4j profile`.
@Command(name = "profile", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Takes one training step on random tokens apart: a table by operation, and a trace that ui.perfetto.dev opens.",
        footer = {"", "The floor of an operation is the least time that its bytes and arithmetic take at the bandwidth and peak that were "
                + "measured on this machine just before. Caches can beat it."})
final class ProfileCommand implements Callable<Integer> {
    /// Set by the launcher where the driver is built.
    private static final String FLOORS_PROPERTY = "nf4j.floors";
    private static final double FLOOR_SECONDS = 0.3;
    /// More than any last-level cache that two of these buffers share.
    private static final long FLOOR_MEBIBYTES = 1024;
    private static final double NANOS_PER_MILLI = 1e6;

    @Spec
    private CommandSpec command;

    @Mixin
    private ModelOptions model;

    @Option(names = "--out", required = true, paramLabel = "TRACE.json", description = "Gets the trace.")
    private Path out;

    @Option(names = "--tokens", defaultValue = "256", paramLabel = "N", description = "Tokens of a sequence. Default: ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--sequences", defaultValue = "1", paramLabel = "N",
            description = "Sequences of the step. Default: ${DEFAULT-VALUE}.")
    private int sequences;

    @Option(names = "--quantize", defaultValue = "nf4", paramLabel = "nf4|none",
            description = "nf4: blocks of 64, double quantization. Default: ${DEFAULT-VALUE}.")
    private QuantizeOption quantize;

    @Option(names = "--rank", defaultValue = "16", paramLabel = "R",
            description = "Of the adapters, on all seven projections. Default: ${DEFAULT-VALUE}.")
    private int rank;

    @Option(names = "--warm-up", defaultValue = "2", paramLabel = "N", description = "Steps before. Default: ${DEFAULT-VALUE}.")
    private int warmUps;

    @Override
    public Integer call() throws IOException {
        Checks.atLeast(command, "--tokens", tokens, 2);
        Checks.atLeast(command, "--sequences", sequences, 1);
        Checks.atLeast(command, "--warm-up", warmUps, 0);
        PeftConfig lora = Checks.usage(command, () -> PeftConfig.of(rank, 2 * rank, 0,
                List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), false, model.path.toString()));
        PrintWriter console = command.commandLine().getOut();
        try (PretrainedModel pretrained = PretrainedModel.open(model.path); Device device = model.openDevice();
                Stream stream = device.newStream()) {
            DType compute = model.compute(device);
            MemoryPlan.forTraining(pretrained, quantize.quantization(), compute, lora, (long) tokens * sequences)
                    .requireFits(device.info().freeMemory());
            Optional<Floors> floors = floors(device);
            try (LlamaModel llama = pretrained.load(stream, quantize.quantization(), compute)) {
                Adapters.attach(llama, lora, 1);
                StepProfile profile = StepProfile.of(llama, batch(llama.config().vocabularySize()), warmUps);
                AtomicFile.write(out, PerfettoTrace.json(profile));
                print(console, profile, floors, compute == DType.BF16);
            }
        }
        console.printf("trace        %s: open it at https://ui.perfetto.dev%n", out);
        console.flush();
        return 0;
    }

    private static Optional<Floors> floors(Device device) throws IOException {
        String driver = System.getProperty(FLOORS_PROPERTY);
        boolean measurable = driver != null && device.isHostAccessible();
        return measurable ? Optional.of(Floors.measure(Path.of(driver), device.info().threads(), FLOOR_MEBIBYTES, FLOOR_SECONDS))
                : Optional.empty();
    }

    private TokenBatch batch(int vocabulary) {
        SplittableRandom random = new SplittableRandom(1);
        List<int[]> ids = new ArrayList<>();
        for (int i = 0; i < sequences; i++) {
            ids.add(random.ints(tokens, 0, vocabulary).toArray());
        }
        return TokenBatch.of(ids, ids);
    }

    private static void print(PrintWriter console, StepProfile profile, Optional<Floors> floors, boolean bf16) {
        Span step = profile.step();
        console.printf("%-28s %6s %10s %7s %10s %10s %9s%n", "operation", "calls", "ms", "share", "MB", "GFLOP", "of floor");
        long nanos = 0;
        for (StepProfile.Total total : profile.totals()) {
            line(console, total.operation(), Integer.toString(total.calls()), total.nanos(), step.nanos(), total.work(), floors, bf16);
            nanos += total.nanos();
        }
        line(console, "between operations", "", step.nanos() - nanos, step.nanos(), new Work(0, 0, 0), Optional.empty(), bf16);
        line(console, "step", "", step.nanos(), step.nanos(), step.work(), floors, bf16);
        for (Span phase : step.children()) {
            line(console, "  " + phase.name(), "", phase.nanos(), step.nanos(), phase.work(), floors, bf16);
        }
        console.println(floors
                .map(f -> String.format(Locale.ROOT, "floors       copy %.1f GB/s, read %.1f GB/s, F32 %s GFLOP/s, BF16 %s GFLOP/s",
                        f.copyGbs(), f.readGbs(), f.fmaGflops(), f.bf16Gflops()))
                .orElse("floors       not measured: make builds what measures them, for host backends"));
    }

    private static void line(PrintWriter console, String name, String calls, long nanos, long all, Work work, Optional<Floors> floors,
                             boolean bf16) {
        String ofFloor = floors.filter(f -> work.bytes() > 0)
                .map(f -> String.format(Locale.ROOT, "%.0f %%", 100 * f.nanos(work, bf16) / nanos)).orElse("");
        console.printf(Locale.ROOT, "%-28s %6s %10.2f %5.1f %% %10.1f %10.2f %9s%n", name, calls, nanos / NANOS_PER_MILLI,
                100.0 * nanos / all,
                work.bytes() / 1e6, work.flops() / 1e9, ofFloor);
    }
}
