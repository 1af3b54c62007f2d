package io.github.nf4j.bench.train;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.bench.run.Launch;
import io.github.nf4j.bench.run.ProcessorShare;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// One process of one contender, from its start to its end.
final class TrainingProcess {
    private static final ObjectMapper JSON = JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();
    private static final int POLL_MILLIS = 100;

    private TrainingProcess() {
    }

    /// @param steps        those that count
    /// @param foreignShare of the processor time, which others used meanwhile
    /// @param failure      why there are no steps, else null
    record Outcome(List<TrainingRun.Step> steps, long peakMb, double foreignShare, String failure) {
        static Outcome failed(String why) {
            return new Outcome(List.of(), 0, 0, why);
        }
    }

    /// What a process prints; nf4j's has more.
    private record Printed(List<TrainingRun.Step> steps, long peakMb) {
    }

    static Outcome run(Launch launch) throws IOException, InterruptedException {
        Path out = Files.createTempFile("nf4j-training", ".json");
        Path err = Files.createTempFile("nf4j-training", ".log");
        Process process = null;
        try {
            ProcessBuilder builder = new ProcessBuilder(launch.command()).redirectOutput(out.toFile()).redirectError(err.toFile());
            builder.environment().putAll(launch.environment());
            process = builder.start();
            ProcessorShare share = new ProcessorShare(process.pid());
            while (!process.waitFor(POLL_MILLIS, TimeUnit.MILLISECONDS)) {
                share.look();
            }
            if (process.exitValue() != 0) {
                return Outcome.failed("exit code " + process.exitValue() + ": " + lastLine(err));
            }
            Printed printed = JSON.readValue(lastLine(out), Printed.class);
            return new Outcome(printed.steps, printed.peakMb, share.foreign(), null);
        } finally {
            if (process != null) {
                process.destroy(); // when this thread was interrupted
            }
            Files.delete(out);
            Files.delete(err);
        }
    }

    private static String lastLine(Path file) throws IOException {
        return Files.readString(file).lines().filter(line -> !line.isBlank()).reduce("no output", (a, b) -> b);
    }
}
