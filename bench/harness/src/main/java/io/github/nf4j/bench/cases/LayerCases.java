package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.MlpOps;
import io.github.nf4j.op.NormOps;
import io.github.nf4j.op.RopeOps;
import java.util.Map;
import java.util.function.Function;

/// Families `norm`, `rope` and `mlp`: what stands between the products of a layer.
final class LayerCases {
    private static final float EPS = 1e-5f;
    private static final int MOST_POSITIONS = 1 << 12;
    /// What an elementwise operation costs the reference, per element: an exponential, a few conversions.
    private static final double ELEMENT = 20;

    private LayerCases() {
    }

    static BenchCase normForward(String shape, long m, long n, DType dtype) {
        double e = dtype.bytes();
        Work work = new Work(4.0 * m * n, e * m * n + e * n, e * m * n + 4.0 * m);
        return layer("norm.forward", shape, m, n, dtype, work, buffers -> {
            Tensor[] x = buffers.random(dtype, m, n);
            Tensor[] weight = buffers.random(dtype, 1, n);
            Tensor[] rstd = buffers.zeros(DType.F32, 1, m);
            Tensor[] y = buffers.zeros(dtype, m, n);
            return new Subject(i -> NormOps.forward(buffers.stream(), x[i], weight[i], EPS, rstd[i], y[i]), v -> {
                NormOps.forward(buffers.stream(), x[0], weight[0], EPS, rstd[0], y[0]);
                for (long[] r : v.rows(m, ELEMENT * n)) {
                    Tensor wantRstd = v.zeros(DType.F32, 1, r[1]);
                    Tensor want = v.zeros(dtype, r[1], n);
                    NormOps.forward(v.stream(), v.view(x[0].rows(r[0], r[1])), v.view(weight[0]), EPS, wantRstd, want);
                    v.compare(rstd[0].columns(r[0], r[1]), wantRstd);
                    v.compare(y[0].rows(r[0], r[1]), want);
                }
            });
        });
    }

    static BenchCase normBackward(String shape, long m, long n, DType dtype) {
        double e = dtype.bytes();
        Work work = new Work(9.0 * m * n, 2 * e * m * n + (e + 4) * n + 4.0 * m, e * m * n + 4.0 * n);
        return layer("norm.backward", shape, m, n, dtype, work, buffers -> {
            Tensor[] x = buffers.random(dtype, m, n);
            Tensor[] dy = buffers.random(dtype, m, n);
            Tensor[] weight = buffers.random(dtype, 1, n);
            Tensor[] rstd = buffers.uniform(DType.F32, 1, m, 1, 2);
            Tensor[] dweight = buffers.zeros(DType.F32, 1, n);
            Tensor[] dx = buffers.zeros(dtype, m, n);
            return new Subject(i -> NormOps.backward(buffers.stream(), dy[i], x[i], weight[i], rstd[i], false, dweight[i], dx[i]), v -> {
                NormOps.backward(buffers.stream(), dy[0], x[0], weight[0], rstd[0], false, dweight[0], dx[0]);
                Tensor wantWeight = v.zeros(DType.F32, 1, n);
                Tensor want = v.zeros(dtype, m, n);
                NormOps.backward(v.stream(), v.view(dy[0]), v.view(x[0]), v.view(weight[0]), v.view(rstd[0]), false, wantWeight, want);
                v.compare(dweight[0], wantWeight);
                v.compare(dx[0], want);
            });
        });
    }

    /// Of m positions.
    static BenchCase ropeTable(String shape, long m, int headDim) {
        Work work = new Work(0, 4.0 * m + 2.0 * headDim, 4.0 * m * headDim);
        return new BenchCase("rope.table", shape, Map.of("m", m, "head_dim", (long) headDim), DType.F32, work, (long) work.bytes(), null,
                buffers -> {
                    Tensor[] positions = buffers.integers((int) m, MOST_POSITIONS);
                    Tensor[] frequencies = buffers.uniform(DType.F32, 1, headDim / 2, 0, 1);
                    Tensor[] table = buffers.zeros(DType.F32, m, headDim);
                    return new Subject(i -> RopeOps.table(buffers.stream(), positions[i], frequencies[i], 1, table[i]), v -> {
                        RopeOps.table(buffers.stream(), positions[0], frequencies[0], 1, table[0]);
                        Tensor want = v.zeros(DType.F32, m, headDim);
                        RopeOps.table(v.stream(), v.view(positions[0]), v.view(frequencies[0]), 1, want);
                        v.compare(table[0], want);
                    });
                });
    }

    static BenchCase rope(String shape, boolean forward, long m, int heads, int headDim, DType dtype) {
        long n = (long) heads * headDim;
        double e = dtype.bytes();
        Work work = new Work(3.0 * m * n, e * m * n + 4.0 * m * headDim, e * m * n);
        return new BenchCase("rope." + direction(forward), shape, Map.of("m", m, "heads", (long) heads, "head_dim", (long) headDim), dtype,
                work, (long) work.bytes(), null, buffers -> {
                    Tensor[] table = buffers.random(DType.F32, m, headDim);
                    Tensor[] x = buffers.random(dtype, m, n);
                    Tensor[] y = buffers.zeros(dtype, m, n);
                    return new Subject(i -> rotate(buffers.stream(), forward, x[i], table[i], y[i]), v -> {
                        rotate(buffers.stream(), forward, x[0], table[0], y[0]);
                        for (long[] r : v.rows(m, ELEMENT * n)) {
                            Tensor want = v.zeros(dtype, r[1], n);
                            rotate(v.stream(), forward, v.view(x[0].rows(r[0], r[1])), v.view(table[0].rows(r[0], r[1])), want);
                            v.compare(y[0].rows(r[0], r[1]), want);
                        }
                    });
                });
    }

    private static void rotate(Stream stream, boolean forward, Tensor x, Tensor table, Tensor y) {
        if (forward) {
            RopeOps.forward(stream, x, table, y);
        } else {
            RopeOps.backward(stream, x, table, y);
        }
    }

    static BenchCase swigluForward(String shape, long m, long n, DType dtype) {
        double e = dtype.bytes();
        return layer("mlp.swiglu_forward", shape, m, n, dtype, new Work(6.0 * m * n, 2 * e * m * n, e * m * n), buffers -> {
            Tensor[] gate = buffers.random(dtype, m, n);
            Tensor[] up = buffers.random(dtype, m, n);
            Tensor[] h = buffers.zeros(dtype, m, n);
            return new Subject(i -> MlpOps.swigluForward(buffers.stream(), gate[i], up[i], h[i]), v -> {
                MlpOps.swigluForward(buffers.stream(), gate[0], up[0], h[0]);
                for (long[] r : v.rows(m, ELEMENT * n)) {
                    Tensor want = v.zeros(dtype, r[1], n);
                    MlpOps.swigluForward(v.stream(), v.view(gate[0].rows(r[0], r[1])), v.view(up[0].rows(r[0], r[1])), want);
                    v.compare(h[0].rows(r[0], r[1]), want);
                }
            });
        });
    }

    static BenchCase swigluBackward(String shape, long m, long n, DType dtype) {
        double e = dtype.bytes();
        return layer("mlp.swiglu_backward", shape, m, n, dtype, new Work(12.0 * m * n, 3 * e * m * n, 2 * e * m * n), buffers -> {
            Tensor[] dh = buffers.random(dtype, m, n);
            Tensor[] gate = buffers.random(dtype, m, n);
            Tensor[] up = buffers.random(dtype, m, n);
            Tensor[] dgate = buffers.zeros(dtype, m, n);
            Tensor[] dup = buffers.zeros(dtype, m, n);
            return new Subject(i -> MlpOps.swigluBackward(buffers.stream(), dh[i], gate[i], up[i], dgate[i], dup[i]), v -> {
                MlpOps.swigluBackward(buffers.stream(), dh[0], gate[0], up[0], dgate[0], dup[0]);
                for (long[] r : v.rows(m, ELEMENT * n)) {
                    Tensor wantGate = v.zeros(dtype, r[1], n);
                    Tensor wantUp = v.zeros(dtype, r[1], n);
                    MlpOps.swigluBackward(v.stream(), v.view(dh[0].rows(r[0], r[1])), v.view(gate[0].rows(r[0], r[1])),
                            v.view(up[0].rows(r[0], r[1])), wantGate, wantUp);
                    v.compare(dgate[0].rows(r[0], r[1]), wantGate);
                    v.compare(dup[0].rows(r[0], r[1]), wantUp);
                }
            });
        });
    }

    private static BenchCase layer(String op, String shape, long m, long n, DType dtype, Work work,
                                   Function<Buffers, Subject> prepare) {
        return new BenchCase(op, shape, Map.of("m", m, "n", n), dtype, work, (long) work.bytes(), null, prepare);
    }

    private static String direction(boolean forward) {
        return forward ? "forward" : "backward";
    }
}
