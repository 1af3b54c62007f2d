package io.github.nf4j.train;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.nf4j.io.AtomicFile;
import io.github.nf4j.io.FileFormatException;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/// The folder of a run: a PEFT adapter with, beside it, what the run logged.
///
/// - `adapter_config.json`, `adapter_model.safetensors`: the adapter.
/// - `metrics.jsonl`: an object for each optimizer step and for each evaluation, written as they happen.
/// - `loss.png`: the plot of them.
/// - `checkpoint.safetensors`: while the run goes on, what continues it; see [Checkpoint].
public final class RunDirectory implements AutoCloseable {
    private static final List<String> FILES = List.of("adapter_config.json", "adapter_model.safetensors", "metrics.jsonl",
            "loss.png", Checkpoint.FILE);

    private final Path folder;
    private final List<LossPlot.Point> steps = new ArrayList<>();
    private final List<LossPlot.Point> evaluations = new ArrayList<>();
    private final BufferedWriter metrics;

    private RunDirectory(Path folder, List<ObjectNode> history) throws IOException {
        this.folder = folder;
        Files.createDirectories(folder);
        StringBuilder kept = new StringBuilder();
        for (ObjectNode object : history) {
            remember(object);
            kept.append(object).append('\n');
        }
        AtomicFile.write(metricsFile(), kept.toString());
        this.metrics = Files.newBufferedWriter(metricsFile(), StandardCharsets.UTF_8, StandardOpenOption.APPEND);
    }

    /// Refuses a folder that a new run cannot be written to, before anything is loaded or created.
    ///
    /// @throws FileAlreadyExistsException if it holds a run or an adapter already
    public static void checkUnused(Path folder) throws IOException {
        if (Files.exists(folder) && !Files.isDirectory(folder)) {
            throw new NotDirectoryException(folder.toString());
        }
        for (String file : FILES) {
            if (Files.exists(folder.resolve(file))) {
                throw new FileAlreadyExistsException(folder.toString(), null, "holds a run already (" + file
                        + "); choose another folder or delete it, or continue the run with --resume");
            }
        }
    }

    /// Makes the folder of a new run.
    public static RunDirectory create(Path folder) throws IOException {
        checkUnused(folder);
        return new RunDirectory(folder, List.of());
    }

    /// Opens the folder of an interrupted run and forgets what was logged after its checkpoint.
    ///
    /// @param step optimizer steps that the checkpoint has seen
    public static RunDirectory resume(Path folder, int step) throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        List<ObjectNode> history = JsonLines.read(file, object -> object);
        history.removeIf(object -> object.path("step").asInt() > step);
        long logged = history.stream().filter(object -> object.has("loss")).count();
        if (logged != step) {
            throw new FileFormatException(file, "step", "has " + logged + " of the " + step + " steps before the checkpoint");
        }
        return new RunDirectory(folder, history);
    }

    public Path folder() {
        return folder;
    }

    private Path metricsFile() {
        return folder.resolve("metrics.jsonl");
    }

    void log(StepMetrics step) throws IOException {
        append(JsonNodeFactory.instance.objectNode().put("step", step.step()).put("loss", step.loss()).put("lr", step.lr())
                .put("grad_norm", step.gradNorm()).put("tokens", step.tokens())
                .put("tokens_per_second", step.tokensPerSecond()).put("step_seconds", step.stepSeconds()));
    }

    void logEvaluation(int step, double loss) throws IOException {
        append(JsonNodeFactory.instance.objectNode().put("step", step).put("eval_loss", loss));
    }

    private void append(ObjectNode object) throws IOException {
        remember(object);
        metrics.append(object.toString()).append('\n').flush();
    }

    private void remember(ObjectNode object) {
        int step = object.path("step").asInt();
        if (object.has("loss")) {
            steps.add(new LossPlot.Point(step, object.get("loss").asDouble()));
        } else {
            evaluations.add(new LossPlot.Point(step, object.path("eval_loss").asDouble()));
        }
    }

    /// Draws the plot of what was logged. A machine that cannot draw, for want of fonts or of the module java.desktop, gets none:
    /// the metrics are there.
    void plot() throws IOException {
        byte[] image;
        try {
            image = LossPlot.png(steps, evaluations);
        } catch (LinkageError | InternalError | RuntimeException e) {
            System.getLogger(RunDirectory.class.getName()).log(System.Logger.Level.WARNING, "no loss.png: it cannot be drawn here", e);
            return;
        }
        AtomicFile.write(folder.resolve("loss.png"), channel -> {
            for (ByteBuffer bytes = ByteBuffer.wrap(image); bytes.hasRemaining();) {
                channel.write(bytes);
            }
        });
    }

    @Override
    public void close() throws IOException {
        metrics.close();
    }
}
