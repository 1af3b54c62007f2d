package io.github.nf4j.bench.run;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceInfo;
import io.github.nf4j.Nf4jException;
import io.github.nf4j.Stream;
import io.github.nf4j.bench.cases.BenchCase;
import io.github.nf4j.bench.cases.Buffers;
import io.github.nf4j.bench.cases.Catalog.Suite;
import io.github.nf4j.bench.cases.Scope;
import io.github.nf4j.bench.cases.Subject;
import io.github.nf4j.bench.cases.Verifier;
import io.github.nf4j.bench.result.CaseResult;
import io.github.nf4j.bench.result.CaseResult.Key;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.CaseResult.Timing;
import io.github.nf4j.bench.result.CaseResult.Verify;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.result.ResultFile.Floors;
import io.github.nf4j.bench.stats.Summary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/// Prepares, verifies and measures one case: a row with cold caches, and one with warm caches where that makes a difference.
public final class CaseRunner implements AutoCloseable {
    private static final double WARM_UP_SHARE = 0.2;
    private static final double WARM_ROW_SHARE = 0.25;
    private static final int MOST_WARM_UPS = 1000;
    /// Buffers beyond this are not copied: more of them would only take longer to fill.
    private static final long MOST_ROTATED_BYTES = 1L << 30;

    private final Device device;
    private final Stream stream;
    private final DeviceInfo info;
    private final Machine machine;
    private final long cacheMb;
    private final Floors floors;
    private final long seed;
    private final Suite suite;
    private final Scope scope;
    private KernelProcess kernel;

    /// @param cacheMb MiB that cold rows rotate through twice: the last-level cache
    /// @param floors  null if they are not known
    /// @param suite   that the cases are of
    public CaseRunner(Device device, Machine machine, long cacheMb, Floors floors, long seed, Suite suite, Scope scope) {
        this.device = device;
        this.stream = device.newStream();
        this.info = device.info();
        this.machine = machine;
        this.cacheMb = cacheMb;
        this.floors = floors;
        this.seed = seed;
        this.suite = suite;
        this.scope = scope;
    }

    public Key key(BenchCase benchCase, String cache) {
        String backend = info.backend().name().toLowerCase(Locale.ROOT);
        String isa = backend.equals("cpu") ? machine.isa() : null;
        return new Key(benchCase.op(), benchCase.shape(), benchCase.dims(), benchCase.dtype().name().toLowerCase(Locale.ROOT), backend,
                isa, info.threads(), scope.toString(), cache);
    }

    /// @param nanos for the samples of all rows of the case
    public List<CaseResult> run(BenchCase benchCase, PeerGroup peers, long nanos) throws InterruptedException {
        // two sources and copies for the reference stand beside the buffers
        long needed = 4 * benchCase.bytes();
        if (needed > info.freeMemory() / 2) {
            return List.of(unmeasured(benchCase, Status.SKIPPED, "needs some " + (needed >> 20) + " MiB of memory, and "
                    + (info.freeMemory() >> 20) + " MiB are free", null));
        }
        try (Prepared ours = new Prepared(benchCase)) {
            Verify verify = ours.verify();
            if (!verify.ok()) {
                return List.of(unmeasured(benchCase, Status.VOID, "the results are wrong", verify));
            }
            if (scope == Scope.KERNEL) {
                return kernelRows(benchCase, ours, verify, nanos);
            }
            List<CaseResult> rows = new ArrayList<>();
            rows.add(
                    measureBesideOthers(benchCase, ours, verify, peers, ours.hasWarmRow() ? (long) (nanos * (1 - WARM_ROW_SHARE)) : nanos));
            if (ours.hasWarmRow()) {
                rows.add(measureCalls(benchCase, ours.contender(1), 1, verify, PeerGroup.NONE, (long) (nanos * WARM_ROW_SHARE)));
            }
            return rows;
        } catch (Nf4jException | UnsupportedOperationException | UncheckedIOException e) {
            return List.of(unmeasured(benchCase, Status.SKIPPED, e.getMessage(), null));
        }
    }

    /// A case with its buffers.
    private final class Prepared implements AutoCloseable {
        private final BenchCase benchCase;
        private final Buffers buffers;
        private final Subject subject;

        Prepared(BenchCase benchCase) {
            this.benchCase = benchCase;
            this.buffers = new Buffers(stream, slots(benchCase.bytes(), cacheMb, info.freeMemory()), seed);
            try {
                this.subject = benchCase.prepare().apply(buffers);
            } catch (RuntimeException e) {
                buffers.close();
                throw e;
            }
        }

        Verify verify() {
            try (Verifier verifier = new Verifier(stream, benchCase.dtype())) {
                subject.verify().accept(verifier);
                stream.synchronize();
                return verifier.result();
            }
        }

        /// Whether one set of buffers stays in the cache that the rotation through all of them leaves.
        boolean hasWarmRow() {
            return buffers.slots() > 1 && fitsCache(benchCase.bytes());
        }

        /// @param slots 1 is for warm caches, and for buffers that exceed the caches by themselves
        CallContender contender(int slots) {
            return new CallContender(benchCase.op(), subject, stream, slots);
        }

        @Override
        public void close() {
            buffers.close();
        }
    }

    /// So many sets of buffers that a call finds none of its own in the last-level cache.
    ///
    /// @param bytes of one set
    public static int slots(long bytes, long cacheMb, long freeMemory) {
        long wanted = 2 * (cacheMb << 20) / bytes + 1;
        long affordable = Math.max(1, Math.min(MOST_ROTATED_BYTES, freeMemory / 4) / bytes);
        return (int) Math.min(wanted, affordable);
    }

    private CaseResult measureBesideOthers(BenchCase benchCase, Prepared ours, Verify verify, PeerGroup peers, long nanos)
            throws InterruptedException {
        List<Prepared> others = new ArrayList<>();
        try {
            List<Contender> contenders = new ArrayList<>(peers.contenders());
            for (BenchCase other : benchCase.beside()) {
                others.add(new Prepared(other));
                CallContender contender = others.getLast().contender(others.getLast().buffers.slots());
                contender.warmUp((long) (nanos * WARM_UP_SHARE));
                contenders.add(contender);
            }
            return measureCalls(benchCase, ours.contender(ours.buffers.slots()), ours.buffers.slots(), verify,
                    new PeerGroup(contenders, peers.missing()), nanos);
        } finally {
            others.forEach(Prepared::close);
        }
    }

    /// What was verified is the same library through FFM: the driver's buffers are its own.
    private List<CaseResult> kernelRows(BenchCase benchCase, Prepared ours, Verify verify, long nanos) throws InterruptedException {
        try {
            if (kernel == null) {
                kernel = new KernelProcess(Checkout.current(), info.threads());
            }
            List<CaseResult> rows = new ArrayList<>();
            int slots = ours.buffers.slots();
            boolean both = ours.hasWarmRow();
            for (int used : both ? new int[] {slots, 1} : new int[] {slots}) {
                kernel.prepare(benchCase, used);
                long share = !both ? nanos : (long) (nanos * (used == 1 ? WARM_ROW_SHARE : 1 - WARM_ROW_SHARE));
                int warmUps = Math.clamp((long) (share * WARM_UP_SHARE) / Math.max(1, kernel.nanosPerSample()), 1, MOST_WARM_UPS);
                kernel.sample(warmUps);
                rows.add(
                        measure(benchCase, kernel, warmUps * kernel.callsPerSample(), kernel.callsPerSample(), used, verify, PeerGroup.NONE,
                                share));
            }
            return rows;
        } catch (IOException e) {
            return List.of(unmeasured(benchCase, Status.SKIPPED, e.getMessage(), null));
        }
    }

    private CaseResult measureCalls(BenchCase benchCase, CallContender ours, int slots, Verify verify, PeerGroup peers, long nanos)
            throws InterruptedException {
        int warmup = ours.warmUp((long) (nanos * WARM_UP_SHARE));
        return measure(benchCase, ours, warmup, ours.callsPerSample(), slots, verify, peers, nanos);
    }

    private CaseResult measure(BenchCase benchCase, Contender ours, int warmup, int callsPerSample, int slots, Verify verify,
                               PeerGroup peers, long nanos)
            throws InterruptedException {
        List<Contender> contenders = new ArrayList<>(List.of(ours));
        contenders.addAll(peers.contenders());
        OptionalDouble before = LoadMonitor.megahertz();
        Interleaver.Outcome outcome = Interleaver.run(contenders, nanos);
        OptionalDouble after = LoadMonitor.megahertz();

        Interleaver.Track track = outcome.tracks().getFirst();
        Timing timing = new Timing("nanotime", warmup, callsPerSample, slots, track.samples(), track.disturbed(),
                outcome.foreignShare(), before.isPresent() && after.isPresent()
                        ? new double[] {before.getAsDouble(), after.getAsDouble()} : null);
        Summary stats = Summary.of(track.samples());
        Key key = key(benchCase, fitsCache(benchCase.bytes() * slots) ? "warm" : "cold");
        String note = outcome.noisy() ? String.format(Locale.ROOT, "others took %.0f %% of the processor's time, and went on when the "
                + "samples were repeated", 100 * outcome.foreignShare()) : null;
        return new CaseResult(key.id(), key, repro(key), outcome.noisy() ? Status.NOISY : Status.OK, note, benchCase.work(), verify, timing,
                stats, FloorProbe.rate(benchCase.work(), floors, benchCase.dtype() == DType.BF16, stats.median()),
                peers.results(outcome.tracks()));
    }

    private boolean fitsCache(long bytes) {
        return bytes <= cacheMb << 20;
    }

    private CaseResult unmeasured(BenchCase benchCase, Status status, String note, Verify verify) {
        Key key = key(benchCase, "cold");
        return new CaseResult(key.id(), key, repro(key), status, note, benchCase.work(), verify, null, null, null, List.of());
    }

    private String repro(Key key) {
        StringBuilder shape = new StringBuilder("^" + key.shape().replace(".", "\\."));
        key.dims().forEach((name, size) -> shape.append(',').append(name).append('=').append(size));
        return "bench/nf4j-bench run --suite " + suite + " --op '^" + key.op().replace(".", "\\.") + "$' --shape '" + shape + ","
                + key.dtype()
                + "$' --backend " + key.backend() + " --threads " + key.threads() + " --scope " + key.scope() + " --seed " + seed
                + " --out case.json";
    }

    @Override
    public void close() {
        if (kernel != null) {
            kernel.close();
        }
        stream.close();
    }
}
