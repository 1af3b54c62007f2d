package io.github.nf4j.bench.jmh;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.goals.Goals;
import io.github.nf4j.bench.goals.JvmGoal;
import io.github.nf4j.bench.run.Checkout;
import java.io.IOException;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

class BenchmarksTest {
    /// Those of CallCost that are about passing memory, and have no counterpart in C.
    private static final Set<String> JAVA_ALONE = Set.of("wrappedOnce", "wrappedEachTime", "allocatedEachTime", "copiedFromTheHeap");
    /// What a call is compared with, and has no counterpart in CallCost.
    private static final Set<String> C_ALONE = Set.of("product16F32", "product16Bf16");
    private static final Options BRIEF = new OptionsBuilder().forks(0).warmupIterations(0).measurementIterations(1)
            .measurementTime(TimeValue.milliseconds(1)).shouldFailOnError(true).verbosity(VerboseMode.SILENT).build();

    private static Set<String> names(Class<?>... classes) {
        return Stream.of(classes).flatMap(one -> Arrays.stream(one.getDeclaredMethods()))
                .filter(method -> method.isAnnotationPresent(Benchmark.class)).map(Method::getName)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    @Test
    void everyBenchmarkRuns() throws RunnerException {
        Collection<RunResult> results = new Runner(BRIEF).run();
        assertEquals(names(CallCost.class, TapeCost.class, StepCost.class), results.stream()
                .map(result -> result.getParams().getBenchmark().replaceFirst(".*\\.", "")).collect(Collectors.toCollection(TreeSet::new)));
    }

    @Test
    void everyCallIsAlsoMadeFromC() throws IOException, InterruptedException {
        Set<String> made = new TreeSet<>(CheckGoals.fromC("1").keySet());
        Set<String> calls = names(CallCost.class);
        calls.removeAll(JAVA_ALONE);
        calls.addAll(C_ALONE);
        assertEquals(calls, made);
    }

    /// What they say of a machine this busy is not looked at, but nothing may be missing.
    @Test
    void allThatTheGoalsNameIsMeasured() throws RunnerException, IOException, InterruptedException {
        List<JvmGoal.Outcome> outcomes = CheckGoals.measure(BRIEF, "1");
        assertEquals(Goals.of(Checkout.current()).jvm().stream().map(JvmGoal::name).toList(),
                outcomes.stream().map(outcome -> outcome.goal().name()).distinct().toList());
        for (JvmGoal.Outcome outcome : outcomes) {
            assertNull(outcome.note(), outcome::toString);
            assertTrue(Double.isFinite(outcome.value()), outcome::toString);
        }
        Set<String> profiled = outcomes.stream().filter(outcome -> outcome.goal().measure() == JvmGoal.Measure.BYTES)
                .map(outcome -> outcome.cost().benchmark().replaceFirst(".*\\.", "")).collect(Collectors.toCollection(TreeSet::new));
        Set<String> all = names(CallCost.class, TapeCost.class);
        all.removeAll(JAVA_ALONE);
        assertEquals(all, profiled);
    }
}
