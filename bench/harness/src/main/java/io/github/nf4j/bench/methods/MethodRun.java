package io.github.nf4j.bench.methods;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.bench.methods.MethodStudy.Loss;
import io.github.nf4j.bench.methods.MethodStudy.Setup;
import io.github.nf4j.bench.methods.MethodStudy.Steps;
import io.github.nf4j.bench.run.Checkout;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/// Measures what a study does not have yet, one process after another, and saves after each.
public final class MethodRun {
    /// Tokens of the timed steps of a process: as many steps as that takes.
    private static final int TIMED_TOKENS = 4096;

    private final Path file;
    private final Path modelPath;
    private final Consumer<String> progress;
    private MethodStudy study;
    private int done;

    /// @param file      where the study is kept
    /// @param modelPath absolute
    /// @param progress  gets a line after each process
    public MethodRun(Path file, Path modelPath, MethodStudy study, Consumer<String> progress) {
        this.file = file;
        this.modelPath = modelPath;
        this.study = study;
        this.progress = progress;
    }

    public MethodStudy run() throws IOException, InterruptedException {
        Setup setup = study.setup();
        for (int round = 0; round < setup.rounds(); round++) {
            for (int length : setup.lengths()) {
                for (Method method : order(round)) {
                    steps(method, length, round);
                }
            }
        }
        for (Method method : Method.values()) {
            loss(method);
        }
        return study;
    }

    /// Forwards and backwards in turns: what changes slowly hits all methods alike.
    private static List<Method> order(int round) {
        List<Method> order = new ArrayList<>(List.of(Method.values()));
        if (round % 2 == 1) {
            Collections.reverse(order);
        }
        return order;
    }

    private void steps(Method method, int length, int round) throws IOException, InterruptedException {
        done++;
        if (study.hasSteps(method, length, round)) {
            return;
        }
        JsonNode answer = work(method, "steps", Integer.toString(length), Integer.toString(Math.max(1, TIMED_TOKENS / length)));
        double[] seconds = IntStream.range(0, answer.path("seconds").size()).mapToDouble(i -> answer.path("seconds").get(i).asDouble())
                .toArray();
        save(study.with(new Steps(method, length, round, answer.path("failure").textValue(), answer.path("weight_bytes").asLong(),
                answer.path("peak_bytes").asLong(), seconds)));
        report(method, length + " tokens",
                study.tokensPerSecond(method, length).map(speed -> String.format(Locale.ROOT, "%.0f tokens/s, peak %d MiB",
                        speed, answer.path("peak_bytes").asLong() >> 20)).orElse(answer.path("failure").asText()));
    }

    private void loss(Method method) throws IOException, InterruptedException {
        done++;
        if (study.loss(method).isPresent()) {
            return;
        }
        Setup setup = study.setup();
        JsonNode answer = work(method, "loss", setup.data(), setup.held(), Integer.toString(setup.trainSteps()),
                Integer.toString(setup.batchSize()),
                Double.toString(setup.learningRate()));
        String failure = answer.path("failure").textValue();
        save(study.with(new Loss(method, failure, answer.path("before").asDouble(), answer.path("after").asDouble())));
        report(method, setup.trainSteps() + " steps", failure != null ? failure : String.format(Locale.ROOT, "held-out loss %.4f -> %.4f",
                answer.path("before").asDouble(), answer.path("after").asDouble()));
    }

    private void save(MethodStudy newer) throws IOException {
        study = newer;
        study.write(file);
    }

    private void report(Method method, String what, String outcome) {
        int all = Method.values().length * (study.setup().lengths().size() * study.setup().rounds() + 1);
        progress.accept(String.format(Locale.ROOT, "%2d/%d  %-12s %-12s %s", done, all, method.title(), what, outcome));
    }

    /// @return the line of JSON that the worker printed
    private JsonNode work(Method method, String... task) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + File.separator + "bin" + File.separator + "java",
                "-Xmx512m",
                "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-Dai.djl.offline=true",
                "-Dslf4j.internal.verbosity=ERROR", "-Dnf4j.library.path=" + System.getProperty("nf4j.library.path"), "-cp",
                System.getProperty("java.class.path"), MethodWorker.class.getName(), method.name(), modelPath.toString(),
                Integer.toString(study.setup().rank()), Integer.toString(study.setup().threads())));
        command.addAll(List.of(task));
        Process process = new ProcessBuilder(command).directory(Checkout.current().root().toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0 || output.isBlank()) {
            throw new IOException("the process of " + method.title() + " ended with exit code " + process.exitValue());
        }
        return new ObjectMapper().readTree(output);
    }
}
