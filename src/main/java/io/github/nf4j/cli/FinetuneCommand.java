package io.github.nf4j.cli;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.cli.ModelOptions.QuantizeOption;
import io.github.nf4j.io.PeftAdapter;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.optim.LrSchedule;
import io.github.nf4j.train.Adapters;
import io.github.nf4j.train.Dataset;
import io.github.nf4j.train.MemoryPlan;
import io.github.nf4j.train.PretrainedModel;
import io.github.nf4j.train.RunDirectory;
import io.github.nf4j.train.Trainer;
import io.github.nf4j.train.TrainingRun;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `nf4j finetune`.
@Command(name = "finetune", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Trains a LoRA adapter on a model, whose weights are quantized to NF4 (QLoRA) unless told otherwise.",
        footer = {"", "The data file has one JSON object a line: {\"messages\": [{\"role\", \"content\"}, ...]}, {\"prompt\", "
                + "\"completion\"}, {\"text\"} or {\"input_ids\", \"labels\"}. Only answers are trained, and the token that ends them."})
final class FinetuneCommand implements Callable<Integer> {
    @Spec
    private CommandSpec command;

    @Mixin
    private ModelOptions model;

    @Option(names = "--data", required = true, paramLabel = "FILE.jsonl", description = "The examples to train on.")
    private Path data;

    @Option(names = "--output", required = true, paramLabel = "DIR",
            description = "Gets the adapter, in PEFT's format, with metrics.jsonl and loss.png. Must not hold a run already.")
    private Path output;

    @Option(names = "--eval", paramLabel = "FILE.jsonl", description = "Held-out examples, evaluated before and after training.")
    private Path eval;

    @Option(names = "--eval-every", defaultValue = "0", paramLabel = "N",
            description = "Evaluate every N steps as well. Default: only before and after.")
    private int evalEvery;

    @Option(names = "--quantize", defaultValue = "nf4", paramLabel = "nf4|none",
            description = "nf4: blocks of 64, double quantization. Default: ${DEFAULT-VALUE}.")
    private QuantizeOption quantize;

    @Mixin
    private AdapterOptions adapter;

    @Mixin
    private TrainingOptions training;

    @Override
    public Integer call() throws IOException {
        Checks.atLeast(command, "--eval-every", evalEvery, 0);
        training.check(command);
        adapter.check(command);
        if (!training.resume) {
            RunDirectory.checkUnused(output);
        }
        try (PretrainedModel pretrained = PretrainedModel.open(model.path)) {
            finetune(pretrained, command.commandLine().getOut());
        }
        return 0;
    }

    private void finetune(PretrainedModel pretrained, PrintWriter out) throws IOException {
        PeftConfig config = adapter.config(command, model.path);
        int maxLength = Math.min(training.maxLength, pretrained.config().maxPositions());
        Dataset dataset = read(pretrained, out, "data", data, maxLength);
        Optional<Dataset> held = eval == null ? Optional.empty() : Optional.of(read(pretrained, out, "held-out", eval, maxLength));
        Trainer.Settings settings = training.settings(command, dataset);
        try (Device device = model.openDevice(); Stream stream = device.newStream()) {
            DType compute = model.compute(device);
            long tokens = (long) settings.batchSize() * Math.max(dataset.longest(), held.map(Dataset::longest).orElse(0));
            MemoryPlan plan = MemoryPlan.forTraining(pretrained, quantize.quantization(), compute, config, tokens);
            plan.requireFits(device.info().freeMemory());
            out.printf("%-12s %s with %d threads, %s activations, about %s of memory%n", "device",
                    device.info().backend().name().toLowerCase(), device.info().threads(), compute, MemoryPlan.text(plan.total()));
            out.flush();
            try (LlamaModel llama = pretrained.load(stream, quantize.quantization(), compute)) {
                adapter.attach(llama, config, settings.seed());
                train(pretrained, llama, config, dataset, held, settings, out);
            }
        }
    }

    private static Dataset read(PretrainedModel pretrained, PrintWriter out, String name, Path file, int maxLength)
            throws IOException {
        Dataset dataset = Dataset.read(file, pretrained.exampleEncoder(), maxLength);
        Reports.describe(out, name, dataset, maxLength);
        return dataset;
    }

    private void train(PretrainedModel pretrained, LlamaModel llama, PeftConfig config, Dataset dataset, Optional<Dataset> held,
                       Trainer.Settings settings, PrintWriter out)
            throws IOException {
        String setup = "model " + model.path + ", quantize " + quantize + ", " + config;
        try (Trainer trainer = new Trainer(llama, dataset, settings)) {
            if (training.resume) {
                trainer.resume(output, setup);
                out.printf("%-12s after step %d%n", "resumed", trainer.stepsTaken());
            }
            try (RunDirectory directory = training.resume ? RunDirectory.resume(output, trainer.stepsTaken())
                    : RunDirectory.create(output);
                    ProgressReporter progress = new ProgressReporter(out, settings.steps(), trainer.stepsTaken())) {
                new TrainingRun(trainer, config, directory, held, evalEvery, training.saveEvery, setup).run(progress);
                progress.close();
                progress.summarize();
            }
        }
        summarize(pretrained, llama, out);
    }

    private void summarize(PretrainedModel pretrained, LlamaModel llama, PrintWriter out) throws IOException {
        long trained = llama.parameters().stream().mapToLong(p -> p.value().rows() * p.value().cols()).sum();
        long total = pretrained.parameters() + trained;
        out.printf("parameters   %,d trained of %,d (%.2f %%)%n", trained, total, 100.0 * trained / total);
        out.printf("weights      %s before quantization, %s after%n", MemoryPlan.text(llama.weightMemory().denseBytes()),
                MemoryPlan.text(llama.weightMemory().bytes()));
        Reports.peakMemoryBytes().ifPresent(bytes -> out.printf("peak memory  %s%n", MemoryPlan.text(bytes)));
        out.printf("adapter      %s (PEFT format; beside it metrics.jsonl and loss.png)%n", output);
        out.printf("use it       bin/nf4j generate --model %s --adapter %s %s--prompt \"...\"%s%n", model.path, output,
                pretrained.chatTemplate().isPresent() ? "--chat " : "", quantize == QuantizeOption.NONE ? " --quantize none" : "");
        out.flush();
    }

    /// What adapter is trained.
    private static final class AdapterOptions {
        @Option(names = "--rank", defaultValue = "16", paramLabel = "R", description = "Inner width. Default: ${DEFAULT-VALUE}.")
        private int rank;

        @Option(names = "--alpha", paramLabel = "A", description = "Numerator of the scale alpha / rank. Default: 2 * rank.")
        private Double alpha;

        @Option(names = "--dropout", defaultValue = "0", paramLabel = "P",
                description = "Share of the adapter's inputs that are dropped in training. Default: ${DEFAULT-VALUE}.")
        private double dropout;

        @Option(names = "--target-modules", split = ",", paramLabel = "NAME",
                defaultValue = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
                description = "Which projections get an adapter. Default: ${DEFAULT-VALUE}.")
        private List<String> targetModules;

        @Option(names = "--rslora", description = "Scale by alpha / sqrt(rank).")
        private boolean rslora;

        @Option(names = "--init-adapter", paramLabel = "DIR",
                description = "Go on training this adapter; its configuration takes the place of the options above.")
        private Path init;

        private void check(CommandSpec command) {
            if (init == null) {
                Checks.usage(command, () -> created(command, Path.of("")));
                return;
            }
            for (String option : List.of("--rank", "--alpha", "--dropout", "--target-modules", "--rslora")) {
                Checks.require(command, !command.commandLine().getParseResult().hasMatchedOption(option),
                        option + " contradicts --init-adapter, whose configuration is taken");
            }
        }

        private PeftConfig config(CommandSpec command, Path base) throws IOException {
            if (init == null) {
                return created(command, base);
            }
            try (Arena arena = Arena.ofConfined()) {
                return PeftAdapter.open(init, arena).config();
            }
        }

        private PeftConfig created(CommandSpec command, Path base) {
            return PeftConfig.of(rank, alpha == null ? 2 * rank : alpha, dropout, targetModules, rslora, base.toString());
        }

        private void attach(LlamaModel llama, PeftConfig config, long seed) throws IOException {
            if (init == null) {
                Adapters.attach(llama, config, seed);
            } else {
                Adapters.load(llama, init);
            }
        }
    }

    /// How it is trained.
    private static final class TrainingOptions {
        private enum Schedule {
            CONSTANT, LINEAR, COSINE
        }

        @Option(names = "--lr", defaultValue = "2e-4", paramLabel = "RATE",
                description = "Peak learning rate. Default: ${DEFAULT-VALUE}.")
        private double learningRate;

        @Option(names = "--schedule", defaultValue = "cosine", paramLabel = "constant|linear|cosine",
                description = "How the rate goes after the warm-up. Default: ${DEFAULT-VALUE}.")
        private Schedule schedule;

        @Option(names = "--warmup-steps", paramLabel = "N", description = "Steps whose rate rises. Default: 3 %% of the steps.")
        private Integer warmupSteps;

        @Option(names = "--weight-decay", defaultValue = "0", paramLabel = "D",
                description = "Decoupled, as in AdamW. Default: ${DEFAULT-VALUE}.")
        private double weightDecay;

        private enum Optimizer {
            ADAMW, PAGED_ADAMW
        }

        @Option(names = "--optim", defaultValue = "adamw", paramLabel = "adamw|paged_adamw",
                description = "paged_adamw keeps the optimizer's moments where a GPU fetches them when it needs them: for adapters that "
                        + "fill its memory. Same results. Default: ${DEFAULT-VALUE}.")
        private Optimizer optimizer;

        @Option(names = "--max-grad-norm", defaultValue = "1", paramLabel = "NORM",
                description = "The gradients' global norm is clipped to this; 0 for no clipping. Default: ${DEFAULT-VALUE}.")
        private double maxGradNorm;

        @Option(names = "--batch-size", defaultValue = "4", paramLabel = "N",
                description = "Examples that go through the model together. Default: ${DEFAULT-VALUE}.")
        private int batchSize;

        @Option(names = "--grad-accum", defaultValue = "1", paramLabel = "N",
                description = "Such batches in an optimizer step. Default: ${DEFAULT-VALUE}.")
        private int gradAccum;

        @Option(names = "--epochs", paramLabel = "E", description = "Passes over the data. Default: 3.")
        private Double epochs;

        @Option(names = "--steps", paramLabel = "N", description = "Optimizer steps, instead of --epochs.")
        private Integer steps;

        @Option(names = "--max-length", defaultValue = "1024", paramLabel = "N",
                description = "Tokens of an example; longer ones lose their end. Default: ${DEFAULT-VALUE}.")
        private int maxLength;

        @Option(names = "--no-shuffle", description = "Keep the order of the file in every epoch.")
        private boolean noShuffle;

        @Option(names = "--seed", defaultValue = "42", paramLabel = "N",
                description = "Of adapter, order and dropout. Default: ${DEFAULT-VALUE}.")
        private long seed;

        @Option(names = "--save-every", defaultValue = "100", paramLabel = "N",
                description = "Steps between checkpoints, from which --resume goes on; 0 for none. Default: ${DEFAULT-VALUE}.")
        private int saveEvery;

        @Option(names = "--resume", description = "Go on with the interrupted run in --output, with the same options.")
        private boolean resume;

        private void check(CommandSpec command) {
            Checks.require(command, steps == null || epochs == null, "--steps and --epochs exclude each other");
            Checks.atLeast(command, "--max-length", maxLength, 2);
            Checks.atLeast(command, "--save-every", saveEvery, 0);
            Checks.usage(command, () -> settings(steps == null ? 1 : steps, 0));
        }

        private Trainer.Settings settings(CommandSpec command, Dataset dataset) {
            return Checks.usage(command, () -> {
                int total = steps != null ? steps : Trainer.steps(dataset, epochs == null ? 3 : epochs, batchSize, gradAccum);
                return settings(total, warmupSteps != null ? warmupSteps : Math.ceilDiv(3 * total, 100));
            });
        }

        private Trainer.Settings settings(int total, int warmup) {
            LrSchedule chosen = switch (schedule) {
                case CONSTANT -> new LrSchedule.Constant(warmup);
                case LINEAR -> new LrSchedule.Linear(warmup, total);
                case COSINE -> new LrSchedule.Cosine(warmup, total);
            };
            return new Trainer.Settings(total, batchSize, gradAccum, learningRate, chosen, weightDecay, maxGradNorm, !noShuffle, seed,
                    optimizer == Optimizer.PAGED_ADAMW);
        }
    }
}
