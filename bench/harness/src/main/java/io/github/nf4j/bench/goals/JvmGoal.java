package io.github.nf4j.bench.goals;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.regex.Pattern;

/// What the way through the JVM may cost.
///
/// @param call   regular expression for benchmarks by class and method, such as `CallCost.memoryFill`
/// @param atMost in the unit of the measure
public record JvmGoal(String name, Pattern call, Measure measure, double atMost) {
    /// What bench/native/call_cost calls the shortest products of 16 tokens begins with this.
    private static final String PRODUCT = "product16";

    /// What is compared.
    public enum Measure {
        /// Nanoseconds more than the same call from C.
        OVER_C_NS,
        /// The same as a share of the shortest product of 16 tokens: what is less does not show in any that is longer.
        OVER_C_SHARE,
        /// That a call allocates. Of a call that allocates nothing the profiler says a little more than 0.
        BYTES
    }

    /// What was measured of a benchmark.
    ///
    /// @param nanos of a call
    /// @param bytes allocated by a call, NaN where that was not measured
    public record Cost(String benchmark, double nanos, double bytes) {
        /// As bench/native/call_cost names the same call.
        String method() {
            return benchmark.substring(benchmark.indexOf('.') + 1);
        }
    }

    /// @param cost  null where no benchmark is of that name
    /// @param fromC nanoseconds of the same call from C, null where there is none
    /// @param value in the unit of the measure, null where it is not known
    /// @param note  why it is not known, else null
    public record Outcome(JvmGoal goal, Cost cost, Double fromC, Double value, String note) {
        public boolean isMet() {
            return value != null && value <= goal.atMost;
        }
    }

    /// Every goal on every benchmark that it is for.
    ///
    /// @param fromC nanoseconds of calls from C, by name
    public static List<Outcome> judge(List<JvmGoal> goals, List<Cost> costs, Map<String, Double> fromC) {
        List<Outcome> outcomes = new ArrayList<>();
        for (JvmGoal goal : goals) {
            List<Cost> named = costs.stream().filter(cost -> goal.call.matcher(cost.benchmark()).find()).toList();
            named.forEach(cost -> outcomes.add(goal.judge(cost, fromC)));
            if (named.isEmpty()) {
                outcomes.add(new Outcome(goal, null, null, null, "no benchmark of that name was run"));
            }
        }
        return outcomes;
    }

    private Outcome judge(Cost cost, Map<String, Double> fromC) {
        Double same = fromC.get(cost.method());
        if (measure == Measure.BYTES) {
            boolean known = Double.isFinite(cost.bytes());
            return new Outcome(this, cost, same, known ? cost.bytes() : null, known ? null : "allocation was not measured");
        }
        if (same == null) {
            return new Outcome(this, cost, null, null, "not called from C");
        }
        double over = cost.nanos() - same;
        if (measure == Measure.OVER_C_NS) {
            return new Outcome(this, cost, same, over, null);
        }
        OptionalDouble product = fromC.entrySet().stream().filter(call -> call.getKey().startsWith(PRODUCT))
                .mapToDouble(Map.Entry::getValue).min();
        return product.isPresent() ? new Outcome(this, cost, same, over / product.getAsDouble(), null)
                : new Outcome(this, cost, same, null, "no product was timed from C");
    }
}
