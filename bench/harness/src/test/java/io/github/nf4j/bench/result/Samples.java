package io.github.nf4j.bench.result;

import io.github.nf4j.bench.result.CaseResult.Key;
import io.github.nf4j.bench.result.CaseResult.Rate;
import io.github.nf4j.bench.result.CaseResult.Status;
import io.github.nf4j.bench.result.CaseResult.Timing;
import io.github.nf4j.bench.result.CaseResult.Verify;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.bench.stats.Summary;
import java.util.List;
import java.util.Map;

/// Result files made up for tests.
public final class Samples {
    private Samples() {
    }

    public static ResultFile file(String fingerprint, CaseResult... rows) {
        return new ResultFile(ResultFile.SCHEMA, new ResultFile.Run("20260101T000000Z-1", "2026-01-01T00:00:00Z", 1.5, true, List.of("run"),
                1, "smoke", "shuffle"), new ResultFile.Code("abc", false, "main", "0.1.0", "0".repeat(64)),
                new Machine(fingerprint, "a processor", 2, "avx2", 32, 1024, null, true, "Linux", "6", new Machine.Jvm("v", "25", "")),
                new ResultFile.Floors(20, 15, 200.0, null, 2), List.of(rows));
    }

    public static CaseResult row(String op, double... samplesUs) {
        return row(op, Status.OK, null, samplesUs);
    }

    public static CaseResult row(String op, Status status, String note, double... samplesUs) {
        Key key = new Key(op, "model.q", Map.of("m", 4L, "n", 8L, "k", 16L), "f32", "cpu", "avx2", 2, "call", "cold");
        Work work = new Work(1024, 2048, 128);
        boolean measured = samplesUs.length > 0;
        return new CaseResult(key.id(), key, "bench/nf4j-bench run", status, note, work,
                new Verify("relative 2-norm", status == Status.VOID ? null : 1e-7, 1e-5, 4, status != Status.VOID),
                measured ? new Timing("nanotime", 2, 1, 3, samplesUs, new double[0], 0, null) : null,
                measured ? Summary.of(samplesUs) : null, measured ? new Rate(1, 2, 0.5, 0.25, "memory") : null, List.of());
    }

    /// A row of training steps beside others.
    public static CaseResult steps(long peakMb, CaseResult.Peer... peers) {
        CaseResult row = row("train.qlora", 1, 2, 3);
        Key key = new Key("train.qlora", "model", Map.of("tokens", 4L), "f32", "cpu", "avx2", 2, "step", "cold");
        return new CaseResult(key.id(), key, row.repro(), row.status(), row.note(), row.work(), row.verify(), row.timing(), row.stats(),
                row.rate(), List.of(peers), step(peakMb));
    }

    public static CaseResult.Peer stepPeer(String name, long peakMb) {
        return new CaseResult.Peer(name, null, null, new double[] {1}, Summary.of(1), 1.0, step(peakMb));
    }

    private static CaseResult.Step step(long peakMb) {
        double[] one = {1};
        return new CaseResult.Step(4, one, one, one, one, peakMb);
    }
}
