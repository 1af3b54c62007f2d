package io.github.nf4j.bench.jmh;

import io.github.nf4j.bench.goals.Goals;
import io.github.nf4j.bench.goals.JvmGoal;
import io.github.nf4j.bench.goals.JvmGoal.Cost;
import io.github.nf4j.bench.report.JvmGoalReport;
import io.github.nf4j.bench.run.Checkout;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/// `bench/nf4j-jmh goals`: runs the benchmarks that the goals of the JVM in bench/goals.json name, makes the same calls from C, and says
/// which goals are met. Exit code: 0 all, 1 not all, 2 a failure.
public final class CheckGoals {
    private CheckGoals() {
    }

    /// @param arguments as of JMH
    public static void main(String[] arguments) {
        System.exit(run(arguments));
    }

    private static int run(String... arguments) {
        try {
            CommandLineOptions jmh = new CommandLineOptions(arguments);
            if (jmh.shouldHelp()) {
                jmh.showHelp();
                return 0;
            }
            List<JvmGoal.Outcome> outcomes = measure(jmh);
            System.out.print("\n" + JvmGoalReport.of(outcomes));
            return outcomes.stream().allMatch(JvmGoal.Outcome::isMet) ? 0 : 1;
        } catch (CommandLineOptionException | RunnerException | IOException e) {
            System.err.println("nf4j-jmh: " + e.getMessage());
            return 2;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return 2;
        }
    }

    /// @param callCost arguments of bench/native/call_cost
    static List<JvmGoal.Outcome> measure(Options jmh, String... callCost) throws RunnerException, IOException, InterruptedException {
        List<JvmGoal> goals = Goals.of(Checkout.current()).jvm();
        ChainedOptionsBuilder options = new OptionsBuilder().parent(jmh).addProfiler(GCProfiler.class);
        goals.forEach(goal -> options.include(goal.call().pattern()));
        Map<String, Double> fromC = fromC(callCost);
        return JvmGoal.judge(goals, new Runner(options.build()).run().stream().map(CheckGoals::cost).toList(), fromC);
    }

    private static Cost cost(RunResult result) {
        String name = result.getParams().getBenchmark();
        double nanos = result.getPrimaryResult().getScore() * result.getParams().getTimeUnit().toNanos(1);
        Result<?> allocated = result.getSecondaryResults().get("gc.alloc.rate.norm");
        return new Cost(name.substring(name.lastIndexOf('.', name.lastIndexOf('.') - 1) + 1), nanos,
                allocated == null ? Double.NaN : allocated.getScore());
    }

    /// Nanoseconds by the name of the call.
    static Map<String, Double> fromC(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(Checkout.current().driver("call_cost").toString()));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new IOException(command + " failed with exit code " + process.exitValue());
        }
        return printed.lines().map(line -> line.split(" +")).collect(Collectors.toMap(words -> words[0],
                words -> Double.valueOf(words[1])));
    }
}
