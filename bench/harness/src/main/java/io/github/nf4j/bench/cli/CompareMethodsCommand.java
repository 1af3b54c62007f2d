package io.github.nf4j.bench.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.bench.methods.MethodCharts;
import io.github.nf4j.bench.methods.MethodReport;
import io.github.nf4j.bench.methods.MethodRun;
import io.github.nf4j.bench.methods.MethodStudy;
import io.github.nf4j.bench.methods.MethodStudy.Setup;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.run.Checkout;
import io.github.nf4j.bench.run.Host;
import io.github.nf4j.io.AtomicFile;
import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// `nf4j-bench compare-methods`.
@Command(name = "compare-methods", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Compares full-precision LoRA with QLoRA on a model of yours, on this machine: memory, speed, what fits, and held-out "
                + "loss after equal steps. A quarter of an hour for a model of 135 million parameters on two cores.")
final class CompareMethodsCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Option(names = "--model", required = true, paramLabel = "DIR|FILE.gguf", description = "As of nf4j finetune.")
    private Path model;

    @Option(names = "--out", required = true, paramLabel = "DIR",
            description = "Gets results.json, saved after each process, and made of it methods.md, methods.png and methods.html.")
    private Path out;

    @Option(names = "--resume", description = "Measure what --out does not have yet, and write the report.")
    private boolean resume;

    @Option(names = "--lengths", split = ",", defaultValue = "256,1024,4096", paramLabel = "N",
            description = "Tokens of the timed sequences; two at least. Default: ${DEFAULT-VALUE}.")
    private List<Integer> lengths;

    @Option(names = "--rounds", defaultValue = "2", paramLabel = "N",
            description = "Processes for each method and length. Default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(names = "--memory", converter = SizeConverter.class, paramLabel = "16g",
            description = "What longest sequence and largest batch have to fit into. Default: this machine's memory.")
    private Long memory;

    @Option(names = "--data", paramLabel = "FILE.jsonl", description = "To train on. Default: the demo's.")
    private Path data;

    @Option(names = "--eval", paramLabel = "FILE.jsonl", description = "To evaluate on. Default: the demo's.")
    private Path held;

    @Option(names = "--steps", defaultValue = "40", paramLabel = "N",
            description = "Optimizer steps before the held-out loss. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Option(names = "--batch-size", defaultValue = "8", paramLabel = "N", description = "Of them. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(names = "--lr", defaultValue = "1.5e-3", paramLabel = "RATE", description = "Of them. Default: ${DEFAULT-VALUE}.")
    private double learningRate;

    @Option(names = "--rank", defaultValue = "16", paramLabel = "R", description = "Of the adapters. Default: ${DEFAULT-VALUE}.")
    private int rank;

    @Option(names = "--threads", defaultValue = "0", paramLabel = "N", description = "0 takes the cores that this process may use.")
    private int threads;

    @Override
    public Integer call() throws IOException, InterruptedException {
        List<Integer> sorted = lengths.stream().sorted().distinct().toList();
        require(sorted.size() >= 2 && sorted.getFirst() >= 2, "--lengths must be two different numbers at least, each of 2 or more");
        require(rounds >= 1 && steps >= 1 && batchSize >= 1 && rank >= 1 && threads >= 0 && learningRate > 0,
                "--rounds, --steps, --batch-size and --rank must be at least 1, --threads 0, --lr positive");
        require((data == null) == (held == null), "--data and --eval belong together");
        Path file = out.resolve("results.json");
        require(resume || !Files.exists(file), "--out " + out + " has results; add --resume to go on with them, or remove them");
        PrintWriter console = spec.commandLine().getOut();
        MethodStudy start = start(sorted, file);
        MethodStudy study = new MethodRun(file, model.toAbsolutePath(), start, line -> {
            console.println(line);
            console.flush();
        }).run();
        AtomicFile.write(out.resolve("methods.md"), MethodReport.markdown(study));
        AtomicFile.write(out.resolve("methods.html"), MethodReport.html(study));
        MethodCharts.of(study).writePng(out.resolve("methods.png"));
        console.println();
        console.print(MethodReport.markdown(study));
        console.flush();
        return ExitCode.OK;
    }

    private void require(boolean holds, String message) {
        if (!holds) {
            throw new ParameterException(spec.commandLine(), message);
        }
    }

    private MethodStudy start(List<Integer> sorted, Path file) throws IOException {
        Path demo = Checkout.current().root().resolve("demo");
        Path train = data == null ? demo.resolve("train.jsonl") : data;
        Path eval = held == null ? demo.resolve("heldout.jsonl") : held;
        try (PretrainedModel pretrained = PretrainedModel.open(model);
                Device device = Device.open(new DeviceOptions(Backend.CPU, 0, threads, Isa.AUTO))) {
            Machine machine = Host.machine(device.info());
            var code = Host.code(Checkout.current());
            require(sorted.getLast() <= pretrained.config().maxPositions(), "--lengths: " + model + " was made for "
                    + pretrained.config().maxPositions() + " tokens at most");
            Setup setup = new Setup(model.getFileName().toString(), code.library(), sorted, rounds, rank, device.info().threads(),
                    shown(train),
                    shown(eval), steps, batchSize, learningRate, memory == null ? machine.ramMb() << 20 : memory,
                    pretrained.config().maxPositions());
            MethodStudy fresh = new MethodStudy(setup, machine, code.gitSha(), List.of(), List.of());
            if (!resume) {
                Files.createDirectories(out);
                return fresh;
            }
            MethodStudy begun = MethodStudy.read(file);
            require(begun.setup().equals(setup) && begun.machine().fingerprint().equals(machine.fingerprint()),
                    "--resume: " + file + " was begun on " + begun.machine().fingerprint() + " as " + begun.setup() + "; this is "
                            + machine.fingerprint() + " and " + setup);
            return begun;
        }
    }

    /// Relative to the checkout where it lies in it, so that a report shows no folders of this machine.
    private static String shown(Path file) {
        Path root = Checkout.current().root();
        Path absolute = file.toAbsolutePath().normalize();
        return absolute.startsWith(root) ? root.relativize(absolute).toString() : absolute.toString();
    }
}
