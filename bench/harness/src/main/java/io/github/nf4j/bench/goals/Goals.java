package io.github.nf4j.bench.goals;

import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.nf4j.bench.result.ResultFile;
import io.github.nf4j.bench.run.Checkout;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/// What should be reached: data in bench/goals.json.
///
/// @param limits by rows of the suite `limits`, or of a GPU
/// @param jvm    by calls through the JVM
public record Goals(List<Goal> limits, List<JvmGoal> jvm) {
    /// `gpu` is that of bench/native/gpu_bench.
    private static final Set<String> SUITES = Set.of("limits", "gpu");

    public Goals {
        limits = List.copyOf(limits);
        jvm = List.copyOf(jvm);
    }

    /// The project's.
    public static Goals of(Checkout checkout) throws IOException {
        return read(checkout.root().resolve("bench/goals.json"));
    }

    /// How a run stands to them, if it is of a suite that has goals.
    public List<Goal.Outcome> judge(ResultFile result) {
        return SUITES.contains(result.run().suite()) ? Goal.judge(limits, result.cases()) : List.of();
    }

    /// @throws IOException if the file is missing or not what it should be
    static Goals read(Path file) throws IOException {
        return JsonMapper.builder().propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
                .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_ENUMS).build().readValue(file.toFile(), Goals.class);
    }
}
