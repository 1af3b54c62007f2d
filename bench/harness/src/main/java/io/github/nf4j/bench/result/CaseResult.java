package io.github.nf4j.bench.result;

import io.github.nf4j.bench.stats.Summary;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// One row of a run.
///
/// @param id     of the key; what two files are joined on
/// @param repro  the command that measures this row again
/// @param note   why the status is not [Status#OK], else null
/// @param stats  of the samples, null if there are none
/// @param peers  other libraries, measured in turns with this row
/// @param step   of a row of whole training steps, else null
public record CaseResult(String id, Key key, String repro, Status status, String note, Work work, Verify verify, Timing timing,
        Summary stats, Rate rate, List<Peer> peers, Step step) {
    public CaseResult {
        peers = peers == null ? List.of() : List.copyOf(peers);
    }

    /// A row of single calls.
    public CaseResult(String id, Key key, String repro, Status status, String note, Work work, Verify verify, Timing timing, Summary stats,
                      Rate rate, List<Peer> peers) {
        this(id, key, repro, status, note, work, verify, timing, stats, rate, peers, null);
    }

    public enum Status {
        OK,
        /// Foreign load or steal remained after repeating: the figures are not worth much.
        NOISY,
        /// Wrong results: the row has no figures.
        VOID,
        /// Not measured; the note says why.
        SKIPPED
    }

    /// Whether there are figures to compare.
    public boolean isMeasured() {
        return status == Status.OK || status == Status.NOISY;
    }

    /// What was measured.
    ///
    /// @param shape model and layer
    /// @param dims  sizes by name: m, n, k, rank, heads ...
    /// @param scope `kernel` (C driver), `call` (through FFM), `step` (a whole training step), `load`
    /// @param cache `cold` (inputs rotate through more than the last-level cache) or `warm` (one set of buffers)
    public record Key(String op, String shape, Map<String, Long> dims, String dtype, String backend, String isa, int threads,
            String scope, String cache) {
        public Key {
            dims = new TreeMap<>(dims);
        }

        public String id() {
            String sizes = dims.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).collect(Collectors.joining(","));
            return String.join("/", op, shape, sizes, dtype, backend + (isa == null ? "" : "-" + isa), "t" + threads, scope, cache);
        }
    }

    /// Counted from the shape: what has to be computed and moved at least.
    public record Work(double flops, double bytesRead, double bytesWritten) {
        public double bytes() {
            return bytesRead + bytesWritten;
        }
    }

    /// @param value |result - reference| / |reference| as 2-norms, of the output that differs most; null if not finite
    /// @param rows  rows that were compared
    public record Verify(String metric, Double value, double bound, long rows, boolean ok) {
    }

    /// @param samplesUs   every sample, microseconds per call
    /// @param disturbedUs samples taken while others used the processor, which were repeated
    /// @param callsPerSample calls that one sample is the mean of
    /// @param slots       sets of buffers that the calls rotate through
    /// @param foreignShare share of the time in which our threads waited for a processor, or the hypervisor took it
    /// @param mhz         clock before and after, where the kernel tells
    public record Timing(String clock, int warmupCalls, int callsPerSample, int slots, double[] samplesUs, double[] disturbedUs,
            double foreignShare, double[] mhz) {
    }

    /// @param floorUs   the least time that the measured peaks and bandwidths allow
    /// @param ofFloor   floor / median; 1 is the limit of the machine
    /// @param bound     what sets the floor: `compute` or `memory`
    public record Rate(double gflops, double gbs, Double floorUs, Double ofFloor, String bound) {
    }

    /// @param note  why there are no samples: not installed, no such product, wrong result; else null
    /// @param ratio median over rounds of our time / its time; above 1 the peer is faster
    /// @param step  of whole training steps, else null
    public record Peer(String name, String version, String note, double[] samplesUs, Summary stats, Double ratio, Step step) {
        /// Of single calls.
        public Peer(String name, String version, String note, double[] samplesUs, Summary stats, Double ratio) {
            this(name, version, note, samplesUs, stats, ratio, null);
        }
    }

    /// What training steps are made of: a figure for each step in the order of the samples.
    ///
    /// @param tokensPerS of the median step
    /// @param peakMb     largest resident memory of a process, loading included
    public record Step(double tokensPerS, double[] forwardUs, double[] backwardUs, double[] optimizerUs, double[] losses, long peakMb) {
    }
}
