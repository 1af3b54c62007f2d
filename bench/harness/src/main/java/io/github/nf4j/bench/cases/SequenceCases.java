package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.AttentionOps;
import io.github.nf4j.op.AttentionShape;
import io.github.nf4j.op.EmbeddingOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LossOps;
import io.github.nf4j.op.PackedSequences;
import java.util.Map;

/// Families `attention`, `embedding` and `loss`.
final class SequenceCases {
    private SequenceCases() {
    }

    /// One causal sequence of m tokens.
    static BenchCase attentionForward(String shape, long m, int heads, int kvHeads, int headDim, DType dtype) {
        long n = (long) heads * headDim;
        long kv = (long) kvHeads * headDim;
        double e = dtype.bytes();
        Work work = new Work(2.0 * n * m * (m + 1), e * m * (n + 2 * kv), e * m * n + 4.0 * m * heads);
        return new BenchCase("attention.forward", shape, attentionDims(m, heads, kvHeads, headDim), dtype, work, (long) work.bytes(), null,
                buffers -> {
                    AttentionShape attention = AttentionShape.of(heads, kvHeads, headDim);
                    PackedSequences all = PackedSequences.ofLengths((int) m);
                    Tensor[] q = buffers.random(dtype, m, n);
                    Tensor[] k = buffers.random(dtype, m, kv);
                    Tensor[] val = buffers.random(dtype, m, kv);
                    Tensor[] lse = buffers.zeros(DType.F32, m, heads);
                    Tensor[] out = buffers.zeros(dtype, m, n);
                    return new Subject(i -> AttentionOps.forward(buffers.stream(), attention, all, q[i], k[i], val[i], lse[i], out[i]),
                            v -> {
                                AttentionOps.forward(buffers.stream(), attention, all, q[0], k[0], val[0], lse[0], out[0]);
                                for (long[] r : v.rows(m, 2.0 * n * m)) {
                                    Tensor wantLse = v.zeros(DType.F32, r[1], heads);
                                    Tensor want = v.zeros(dtype, r[1], n);
                                    // the last of these queries sees the keys up to itself
                                    int keys = (int) (r[0] + r[1]);
                                    AttentionOps.forward(v.stream(), attention,
                                            PackedSequences.withCache(new int[] {(int) r[1]}, new int[] {0}, new int[] {keys}),
                                            v.view(q[0].rows(r[0], r[1])), v.view(k[0].rows(0, keys)), v.view(val[0].rows(0, keys)),
                                            wantLse, want);
                                    v.compare(lse[0].rows(r[0], r[1]), wantLse);
                                    v.compare(out[0].rows(r[0], r[1]), want);
                                }
                            });
                });
    }

    static BenchCase attentionBackward(String shape, long m, int heads, int kvHeads, int headDim, DType dtype) {
        long n = (long) heads * headDim;
        long kv = (long) kvHeads * headDim;
        double e = dtype.bytes();
        Work work = new Work(5.0 * n * m * (m + 1), e * m * (3 * n + 2 * kv) + 4.0 * m * heads, e * m * (n + 2 * kv));
        return new BenchCase("attention.backward", shape, attentionDims(m, heads, kvHeads, headDim), dtype, work, (long) work.bytes(), null,
                buffers -> {
                    AttentionShape attention = AttentionShape.of(heads, kvHeads, headDim);
                    PackedSequences all = PackedSequences.ofLengths((int) m);
                    Tensor[] q = buffers.random(dtype, m, n);
                    Tensor[] k = buffers.random(dtype, m, kv);
                    Tensor[] val = buffers.random(dtype, m, kv);
                    Tensor[] dout = buffers.random(dtype, m, n);
                    Tensor[] lse = buffers.zeros(DType.F32, m, heads);
                    Tensor[] out = buffers.zeros(dtype, m, n);
                    Tensor[] dq = buffers.zeros(dtype, m, n);
                    Tensor[] dk = buffers.zeros(dtype, m, kv);
                    Tensor[] dv = buffers.zeros(dtype, m, kv);
                    for (int i = 0; i < buffers.slots(); i++) {
                        AttentionOps.forward(buffers.stream(), attention, all, q[i], k[i], val[i], lse[i], out[i]);
                    }
                    return new Subject(
                            i -> AttentionOps.backward(buffers.stream(), attention, all, q[i], k[i], val[i], lse[i], out[i], dout[i],
                                    dq[i], dk[i], dv[i]),
                            v -> {
                                AttentionOps.backward(buffers.stream(), attention, all, q[0], k[0], val[0], lse[0], out[0], dout[0], dq[0],
                                        dk[0], dv[0]);
                                // Within a range of rows, the first rows' dq needs no other keys, and the last rows' dk and dv no other queries:
                                // with the lse and out of the whole sequence, the range computes them alone.
                                long affordable = (long) Math.sqrt(1e8 / n);
                                long count = Math.min(m, affordable);
                                for (long from : m == count ? new long[] {0} : new long[] {0, m - count}) {
                                    Tensor wantQ = v.zeros(dtype, count, n);
                                    Tensor wantK = v.zeros(dtype, count, kv);
                                    Tensor wantV = v.zeros(dtype, count, kv);
                                    AttentionOps.backward(v.stream(), attention, PackedSequences.ofLengths((int) count),
                                            v.view(q[0].rows(from, count)),
                                            v.view(k[0].rows(from, count)), v.view(val[0].rows(from, count)),
                                            v.view(lse[0].rows(from, count)),
                                            v.view(out[0].rows(from, count)), v.view(dout[0].rows(from, count)), wantQ, wantK, wantV);
                                    if (from == 0) {
                                        v.compare(dq[0].rows(0, count), wantQ);
                                    }
                                    if (from + count == m) {
                                        v.compare(dk[0].rows(from, count), wantK);
                                        v.compare(dv[0].rows(from, count), wantV);
                                    }
                                }
                            });
                });
    }

    static BenchCase embeddingForward(String shape, long m, long n, int vocabulary, DType dtype) {
        double e = dtype.bytes();
        Work work = new Work(0, e * m * n + 4.0 * m, e * m * n);
        return new BenchCase("embedding.forward", shape, Map.of("m", m, "n", n, "vocabulary", (long) vocabulary), dtype, work,
                (long) work.bytes(), null, buffers -> {
                    Tensor[] ids = buffers.integers((int) m, vocabulary);
                    Tensor table = buffers.source(dtype, vocabulary, n);
                    Tensor[] y = buffers.zeros(dtype, m, n);
                    return new Subject(i -> EmbeddingOps.forward(buffers.stream(), ids[i], table, y[i]), v -> {
                        EmbeddingOps.forward(buffers.stream(), ids[0], table, y[0]);
                        Tensor want = v.zeros(dtype, m, n);
                        EmbeddingOps.forward(v.stream(), v.view(ids[0]), v.view(table), want);
                        v.compare(y[0], want);
                    });
                });
    }

    static BenchCase embeddingBackward(String shape, long m, long n, int vocabulary, DType dtype) {
        double e = dtype.bytes();
        Work work = new Work(m * n, e * m * n + 4.0 * m * n + 4.0 * m, 4.0 * m * n);
        return new BenchCase("embedding.backward", shape, Map.of("m", m, "n", n, "vocabulary", (long) vocabulary), dtype, work,
                (long) work.bytes(), null, buffers -> {
                    Tensor[] ids = buffers.integers((int) m, vocabulary);
                    Tensor[] dy = buffers.random(dtype, m, n);
                    Tensor dtable = buffers.sharedZeros(DType.F32, vocabulary, n);
                    return new Subject(i -> EmbeddingOps.backward(buffers.stream(), ids[i], dy[i], dtable), v -> {
                        EmbeddingOps.backward(buffers.stream(), ids[0], dy[0], dtable);
                        Tensor want = v.zeros(DType.F32, vocabulary, n);
                        EmbeddingOps.backward(v.stream(), v.view(ids[0]), v.view(dy[0]), want);
                        v.compare(dtable, want);
                    });
                });
    }

    static BenchCase loss(String shape, long m, long n, int vocabulary, DType dtype) {
        double e = dtype.bytes();
        Work work = new Work(4.0 * m * vocabulary * n, e * n * (m + vocabulary) + 4.0 * m, e * m * n + 4.0 * m);
        return new BenchCase("loss.linear_cross_entropy", shape, Map.of("m", m, "n", n, "vocabulary", (long) vocabulary), dtype, work,
                (long) work.bytes(), null, buffers -> {
                    Tensor[] hidden = buffers.random(dtype, m, n);
                    Tensor[] head = buffers.uniform(dtype, vocabulary, n, -0.1, 0.1); // trained heads leave logits of this size
                    Tensor[] labels = buffers.integers((int) m, vocabulary);
                    Tensor[] loss = buffers.zeros(DType.F32, 1, m);
                    Tensor[] dhidden = buffers.zeros(dtype, m, n);
                    return new Subject(
                            i -> LossOps.linearCrossEntropy(buffers.stream(), hidden[i], LinearWeight.dense(head[i], null), labels[i],
                                    1f / m, loss[i], dhidden[i]),
                            v -> {
                                LossOps.linearCrossEntropy(buffers.stream(), hidden[0], LinearWeight.dense(head[0], null), labels[0],
                                        1f / m, loss[0],
                                        dhidden[0]);
                                LinearWeight exact = LinearWeight.dense(v.view(head[0]), null);
                                for (long[] r : v.rows(m, 2.0 * vocabulary * n)) {
                                    Tensor wantLoss = v.zeros(DType.F32, 1, r[1]);
                                    Tensor want = v.zeros(dtype, r[1], n);
                                    LossOps.linearCrossEntropy(v.stream(), v.view(hidden[0].rows(r[0], r[1])), exact,
                                            v.view(labels[0].columns(r[0], r[1])), 1f / m, wantLoss, want);
                                    v.compare(loss[0].columns(r[0], r[1]), wantLoss);
                                    v.compare(dhidden[0].rows(r[0], r[1]), want);
                                }
                            });
                });
    }

    private static Map<String, Long> attentionDims(long m, int heads, int kvHeads, int headDim) {
        return Map.of("m", m, "heads", (long) heads, "kv_heads", (long) kvHeads, "head_dim", (long) headDim);
    }
}
