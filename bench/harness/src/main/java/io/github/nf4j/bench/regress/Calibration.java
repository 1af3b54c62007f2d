package io.github.nf4j.bench.regress;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.bench.stats.Verdict;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// How often the gate errs on a machine: judgements of builds whose difference is known. Kept as lines of JSON, the setup first,
/// then each judgement with the figures that it was made from.
public final class Calibration {
    /// Share by which the candidate is slower than the base.
    public static final List<Double> SLOWDOWNS = List.of(0.0, 0.05, 0.10);
    private static final double FALSE_ALARMS = 0.02;
    private static final double FOUND = 0.95;
    private static final JsonMapper JSON = JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();

    private final Setup setup;
    private final List<Run> runs = new ArrayList<>();

    /// What the rates depend on.
    ///
    /// @param library     SHA-256 of libnf4j
    /// @param passSeconds time for the samples of a pass
    public record Setup(String fingerprint, String cpu, int cores, String library, String started, double threshold, double passSeconds) {
        private boolean fits(Setup other) {
            return fingerprint.equals(other.fingerprint) && library.equals(other.library) && threshold == other.threshold
                    && passSeconds == other.passSeconds;
        }
    }

    /// One judgement.
    public record Run(double slowdown, int number, String op, String shape, Verdict verdict, List<Judge.Pass> passes) {
    }

    private Calibration(Setup setup) {
        this.setup = setup;
    }

    /// @throws IOException if there is such a file
    public static Calibration create(Path file, Setup setup) throws IOException {
        Files.writeString(file, JSON.writeValueAsString(setup) + "\n", StandardOpenOption.CREATE_NEW);
        return new Calibration(setup);
    }

    /// A line that was cut short when its writer was killed is left out, in the file too.
    ///
    /// @throws IOException if the file is missing or damaged
    public static Calibration read(Path file) throws IOException {
        String text = Files.readString(file);
        String whole = text.substring(0, text.lastIndexOf('\n') + 1);
        List<String> lines = whole.lines().toList();
        if (lines.isEmpty()) {
            throw new IOException(file + " is no calibration: it has no first line");
        }
        Calibration calibration = new Calibration(JSON.readValue(lines.getFirst(), Setup.class));
        for (String line : lines.subList(1, lines.size())) {
            calibration.runs.add(JSON.readValue(line, Run.class));
        }
        if (whole.length() < text.length()) {
            Files.write(file, whole.getBytes(StandardCharsets.UTF_8));
        }
        return calibration;
    }

    /// Goes on with a file.
    ///
    /// @throws IllegalArgumentException if it was begun with another setup
    public static Calibration resume(Path file, Setup setup) throws IOException {
        Calibration calibration = read(file);
        if (!setup.fits(calibration.setup)) {
            throw new IllegalArgumentException("--resume: " + file + " was begun as " + calibration.setup + "; this is " + setup);
        }
        return calibration;
    }

    public List<Run> runs() {
        return List.copyOf(runs);
    }

    public boolean has(double slowdown, int number) {
        return runs.stream().anyMatch(run -> run.slowdown == slowdown && run.number == number);
    }

    public void add(Path file, Run run) throws IOException {
        Files.writeString(file, JSON.writeValueAsString(run) + "\n", StandardOpenOption.APPEND);
        runs.add(run);
    }

    private long count(double slowdown, Verdict verdict) {
        return runs.stream().filter(run -> run.slowdown == slowdown && (verdict == null || run.verdict == verdict)).count();
    }

    /// Whether at most 2 % are false alarms and 95 % of the 10 % are found.
    public boolean isGood() {
        return count(0, Verdict.SLOW) <= FALSE_ALARMS * count(0, null) && count(0.10, Verdict.SLOW) >= FOUND * count(0.10, null);
    }

    /// What docs/benchmarking.md shows.
    public String markdown() {
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "On %s, %d cores, begun %s; threshold %.0f %%, %.1f s a pass:%n%n"
                + "| the new build is | runs | SLOW | FAST | SAME | AMBIGUOUS |%n|---|--:|--:|--:|--:|--:|%n", setup.cpu, setup.cores,
                setup.started, 100 * setup.threshold, setup.passSeconds));
        for (double slowdown : SLOWDOWNS) {
            text.append(String.format(Locale.ROOT, "| %s | %d | %d | %d | %d | %d |%n",
                    slowdown == 0 ? "the same" : String.format(Locale.ROOT, "%.0f %% slower", 100 * slowdown), count(slowdown, null),
                    count(slowdown, Verdict.SLOW), count(slowdown, Verdict.FAST), count(slowdown, Verdict.SAME),
                    count(slowdown, Verdict.AMBIGUOUS)));
        }
        return text.toString();
    }
}
