package io.github.nf4j.bench.result;

import java.util.List;
import java.util.Optional;

/// One run of the harness, as it stands in a file: schema/nf4j-bench-1.0.json.
///
/// @param schema [#SCHEMA]; a reader takes any minor version of its major one
/// @param floors null until they have been measured
public record ResultFile(String schema, Run run, Code code, Machine machine, Floors floors, List<CaseResult> cases) {
    public static final String SCHEMA = "nf4j-bench/1.0";

    public ResultFile {
        cases = List.copyOf(cases);
    }

    public Optional<CaseResult> find(String id) {
        return cases.stream().filter(result -> result.id().equals(id)).findFirst();
    }

    public ResultFile with(Run newRun, List<CaseResult> newCases) {
        return new ResultFile(schema, newRun, code, machine, floors, newCases);
    }

    /// @param id       of this run: its start and a random part
    /// @param finished false in a file that an interrupted run has left
    public record Run(String id, String startedUtc, double durationS, boolean finished, List<String> argv, long seed, String suite,
            String order) {
        /// The same run, some time later.
        public Run after(double seconds, boolean nowFinished) {
            return new Run(id, startedUtc, seconds, nowFinished, argv, seed, suite, order);
        }
    }

    /// @param gitSha  null outside a git checkout
    /// @param dirty   whether the checkout had changes
    /// @param library SHA-256 of the native library that was measured
    public record Code(String gitSha, boolean dirty, String branch, String version, String library) {
    }

    /// What the machine can do at most, measured on as many threads as the device has.
    ///
    /// @param copyGbs bytes read plus bytes written by a copy, in 10^9 bytes per second
    /// @param readGbs bytes read by a sum
    /// @param fmaGflops F32 fused multiply-adds, two operations each; null where the driver knows none
    /// @param bf16Gflops BF16 dot products with F32 sums; null where the processor has none
    public record Floors(double copyGbs, double readGbs, Double fmaGflops, Double bf16Gflops, int threads) {
    }
}
