package io.github.nf4j.cli;

import io.github.nf4j.train.Dataset;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/// What several commands print.
final class Reports {
    private Reports() {
    }

    /// One line on a data file, and one for what had to be cut.
    static void describe(PrintWriter out, String name, Dataset data, int maxLength) {
        out.printf("%-12s %s: %,d examples, %,d trained tokens, the longest has %,d tokens%n", name, data.file(), data.size(),
                data.trainedTokens(), data.longest());
        if (data.truncated() + data.dropped() > 0) {
            out.printf("%-12s %,d examples were cut to --max-length %,d, %,d left out because nothing to train on remained%n", "",
                    data.truncated(), maxLength, data.dropped());
        }
        out.flush();
    }

    /// `1:02:03` or `2:03`.
    static String time(double seconds) {
        Duration duration = Duration.ofSeconds(Math.round(seconds));
        return duration.toHours() > 0
                ? String.format("%d:%02d:%02d", duration.toHours(), duration.toMinutesPart(), duration.toSecondsPart())
                : String.format("%d:%02d", duration.toMinutes(), duration.toSecondsPart());
    }

    /// The most memory that this process has had, from Linux' accounting; empty on other systems.
    static Optional<Long> peakMemoryBytes() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.isReadable(status)) {
            return Optional.empty();
        }
        return Files.readAllLines(status).stream().filter(line -> line.startsWith("VmHWM:"))
                .map(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024).findFirst();
    }
}
