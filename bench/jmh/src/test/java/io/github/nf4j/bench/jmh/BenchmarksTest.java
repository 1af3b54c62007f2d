package io.github.nf4j.bench.jmh;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

class BenchmarksTest {
    /// Those of CallCost that are about passing memory, and have no counterpart in C.
    private static final Set<String> JAVA_ALONE = Set.of("wrappedOnce", "wrappedEachTime", "allocatedEachTime", "copiedFromTheHeap");

    private static Set<String> names(Class<?>... classes) {
        return Stream.of(classes).flatMap(one -> Arrays.stream(one.getDeclaredMethods()))
                .filter(method -> method.isAnnotationPresent(Benchmark.class)).map(Method::getName)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    @Test
    void everyBenchmarkRuns() throws RunnerException {
        Collection<RunResult> results = new Runner(new OptionsBuilder().forks(0).warmupIterations(0).measurementIterations(1)
                .measurementTime(TimeValue.milliseconds(1)).shouldFailOnError(true).verbosity(VerboseMode.SILENT).build()).run();
        assertEquals(names(CallCost.class, TapeCost.class, StepCost.class), results.stream()
                .map(result -> result.getParams().getBenchmark().replaceFirst(".*\\.", "")).collect(Collectors.toCollection(TreeSet::new)));
    }

    @Test
    void everyCallIsAlsoMadeFromC() throws IOException, InterruptedException {
        Path driver = Path.of(System.getProperty("nf4j.root"), "build/native/bench/call_cost");
        Process process = new ProcessBuilder(driver.toString(), "1").redirectError(ProcessBuilder.Redirect.INHERIT).start();
        Set<String> made = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines()
                .map(line -> line.replaceFirst(" .*", "")).collect(Collectors.toCollection(TreeSet::new));
        assertEquals(0, process.waitFor());
        Set<String> calls = names(CallCost.class);
        calls.removeAll(JAVA_ALONE);
        assertEquals(calls, made);
    }
}
