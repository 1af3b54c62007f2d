package io.github.nf4j.cli;

import io.github.nf4j.JavaProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// Runs the command in a JVM of its own and kills it in the midst of training.
final class KilledRun {
    private static final long DEADLINE_NANOS = 60_000_000_000L;

    private KilledRun() {
    }

    /// Kills the process (SIGKILL) once `run/metrics.jsonl` has `step` lines or more.
    static void afterStep(int step, Path run, Object... arguments) throws IOException {
        List<String> command = new ArrayList<>(JavaProcess.command());
        command.add(Main.class.getName());
        Stream.of(arguments).map(Object::toString).forEach(command::add);
        Path log = Files.createTempFile("nf4j", ".log");
        Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        try {
            Path metrics = run.resolve("metrics.jsonl");
            long start = System.nanoTime();
            while (!Files.exists(metrics) || Files.readAllLines(metrics).size() < step) {
                if (!process.isAlive() || System.nanoTime() - start > DEADLINE_NANOS) {
                    throw new AssertionError("the run did not get to step " + step + ":\n" + Files.readString(log));
                }
                Thread.onSpinWait();
            }
        } finally {
            process.destroyForcibly().onExit().join();
            Files.delete(log);
        }
    }
}
