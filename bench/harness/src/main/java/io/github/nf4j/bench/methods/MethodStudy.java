package io.github.nf4j.bench.methods;

import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.stats.Summary;
import io.github.nf4j.io.AtomicFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// What was measured of each [Method] on one model, and what is derived from it.
public record MethodStudy(Setup setup, Machine machine, String gitSha, List<Steps> steps, List<Loss> losses) {
    private static final JsonMapper JSON = JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .enable(SerializationFeature.INDENT_OUTPUT).build();

    public MethodStudy {
        steps = List.copyOf(steps);
        losses = List.copyOf(losses);
    }

    /// What decides the results.
    ///
    /// @param library    SHA-256 of libnf4j
    /// @param lengths    tokens of the timed sequences, ascending
    /// @param rounds     processes for each method and length
    /// @param trainSteps optimizer steps before the held-out loss
    /// @param memory     bytes that longest sequence and largest batch are computed for
    public record Setup(String model, String library, List<Integer> lengths, int rounds, int rank, int threads, String data, String held,
            int trainSteps, int batchSize, double learningRate, long memory, int maxPositions) {
    }

    /// One process that took training steps on random tokens.
    ///
    /// @param failure why there are no figures, or null
    /// @param seconds of each step; the first one, which takes memory, is left out
    /// @param peakBytes of the process
    public record Steps(Method method, int length, int round, String failure, long weightBytes, long peakBytes, double[] seconds) {
    }

    /// One process that trained on real data.
    public record Loss(Method method, String failure, double before, double after) {
    }

    /// @throws IOException if the file is missing or damaged
    public static MethodStudy read(Path file) throws IOException {
        return JSON.readValue(Files.readString(file), MethodStudy.class);
    }

    public void write(Path file) throws IOException {
        AtomicFile.write(file, JSON.writeValueAsString(this) + "\n");
    }

    public MethodStudy with(Steps more) {
        List<Steps> all = new ArrayList<>(steps);
        all.add(more);
        return new MethodStudy(setup, machine, gitSha, all, losses);
    }

    public MethodStudy with(Loss more) {
        List<Loss> all = new ArrayList<>(losses);
        all.add(more);
        return new MethodStudy(setup, machine, gitSha, steps, all);
    }

    public boolean hasSteps(Method method, int length, int round) {
        return steps.stream().anyMatch(one -> one.method == method && one.length == length && one.round == round);
    }

    public Optional<Loss> loss(Method method) {
        return losses.stream().filter(one -> one.method == method).findFirst();
    }

    private Stream<Steps> measured(Method method, int length) {
        return steps.stream().filter(one -> one.method == method && one.length == length && one.failure == null);
    }

    Optional<Long> weightBytes(Method method) {
        return steps.stream().filter(one -> one.method == method && one.failure == null).map(Steps::weightBytes).findFirst();
    }

    /// The largest of the rounds.
    Optional<Long> peakBytes(Method method, int length) {
        return measured(method, length).map(Steps::peakBytes).max(Long::compare);
    }

    /// At the median time of all steps.
    Optional<Double> tokensPerSecond(Method method, int length) {
        double[] seconds = measured(method, length).flatMapToDouble(one -> Arrays.stream(one.seconds)).toArray();
        return seconds.length == 0 ? Optional.empty() : Optional.of(length / Summary.median(seconds));
    }

    /// Tokens of one step whose peak would be the memory given: on the line through the peaks of the two longest sequences, as memory
    /// is linear in tokens. Empty where one of them is missing.
    Optional<Long> tokensThatFit(Method method) {
        int longest = setup.lengths.getLast();
        int shorter = setup.lengths.get(setup.lengths.size() - 2);
        Optional<Long> high = peakBytes(method, longest);
        Optional<Long> low = peakBytes(method, shorter);
        if (high.isEmpty() || low.isEmpty() || high.get() <= low.get()) {
            return Optional.empty();
        }
        double perToken = (double) (high.get() - low.get()) / (longest - shorter);
        return Optional.of((long) Math.max(0, longest + (setup.memory - high.get()) / perToken));
    }
}
