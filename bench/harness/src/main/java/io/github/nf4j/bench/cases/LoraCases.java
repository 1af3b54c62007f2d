package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Family `lora`: m tokens through a layer [n, k] with an adapter.
final class LoraCases {
    static final int RANK = 16;
    private static final float ALPHA = 32;

    private LoraCases() {
    }

    static BenchCase forward(String shape, long m, long n, long k, DType dtype, boolean nf4) {
        double e = dtype.bytes();
        Work work = new Work(2.0 * m * n * k + 2.0 * m * RANK * (n + k), e * m * k + base(n, k, dtype, nf4) + 4.0 * RANK * (n + k),
                e * m * n + 4.0 * m * RANK);
        return new BenchCase("lora.forward." + kind(nf4), shape, withRank(m, n, k), dtype, work, (long) work.bytes(), null, buffers -> {
            Lora lora = new Lora(buffers, m, n, k, dtype, nf4);
            Tensor[] y = buffers.zeros(dtype, m, n);
            return new Subject(i -> LoraOps.forward(buffers.stream(), lora.x[i], lora.base[i], lora.adapter[i], lora.u[i], y[i]), v -> {
                LoraOps.forward(buffers.stream(), lora.x[0], lora.base[0], lora.adapter[0], lora.u[0], y[0]);
                LinearWeight exact = lora.exactBase(v);
                for (long[] r : v.rows(m, n * k)) {
                    Tensor wantU = v.zeros(DType.F32, r[1], RANK);
                    Tensor want = v.zeros(dtype, r[1], n);
                    LoraOps.forward(v.stream(), v.view(lora.x[0].rows(r[0], r[1])), exact, lora.adapter(v, 0, RANK), wantU, want);
                    v.compare(lora.u[0].rows(r[0], r[1]), wantU);
                    v.compare(y[0].rows(r[0], r[1]), want);
                }
            });
        });
    }

    /// The first half of forward, for adapters that share their input.
    static BenchCase project(String shape, long m, int adapters, long k, DType dtype) {
        double ranks = (double) RANK * adapters;
        Work work = new Work(2.0 * m * k * ranks, (double) dtype.bytes() * m * k + 4.0 * ranks * k, 4.0 * m * ranks);
        Map<String, Long> dims = Map.of("m", m, "k", k, "rank", (long) RANK, "adapters", (long) adapters);
        return new BenchCase("lora.project", shape, dims, dtype, work, (long) work.bytes(), null, buffers -> {
            Tensor[] x = buffers.random(dtype, m, k);
            List<List<LoraWeights>> loras = slots(buffers, adapters, () -> buffers.random(DType.F32, RANK, k),
                    a -> new LoraWeights(a, null, ALPHA));
            List<List<Tensor>> us = slots(buffers, adapters, () -> buffers.zeros(DType.F32, m, RANK), u -> u);
            return new Subject(i -> LoraOps.project(buffers.stream(), x[i], loras.get(i), us.get(i)), v -> {
                LoraOps.project(buffers.stream(), x[0], loras.get(0), us.get(0));
                for (int j = 0; j < adapters; j++) {
                    LoraWeights lora = new LoraWeights(v.view(loras.get(0).get(j).a()), null, ALPHA);
                    for (long[] r : v.rows(m, RANK * k)) {
                        Tensor want = v.zeros(DType.F32, r[1], RANK);
                        LoraOps.project(v.stream(), v.view(x[0].rows(r[0], r[1])), List.of(lora), List.of(want));
                        v.compare(us.get(0).get(j).rows(r[0], r[1]), want);
                    }
                }
            });
        });
    }

    /// For each slot a list of as many as there are adapters.
    private static <T> List<List<T>> slots(Buffers buffers, int adapters, Supplier<Tensor[]> tensors, Function<Tensor, T> element) {
        List<Tensor[]> made = Stream.generate(tensors).limit(adapters).toList();
        return IntStream.range(0, buffers.slots()).mapToObj(i -> made.stream().map(of -> element.apply(of[i])).toList()).toList();
    }

    /// The second half.
    static BenchCase apply(String shape, long m, long n, long k, DType dtype, boolean nf4) {
        double e = dtype.bytes();
        Work work = new Work(2.0 * m * n * k + 2.0 * m * RANK * n, e * m * k + base(n, k, dtype, nf4) + 4.0 * RANK * (m + n), e * m * n);
        return new BenchCase("lora.apply." + kind(nf4), shape, withRank(m, n, k), dtype, work, (long) work.bytes(), null, buffers -> {
            Lora lora = new Lora(buffers, m, n, k, dtype, nf4);
            Tensor[] y = buffers.zeros(dtype, m, n);
            return new Subject(i -> LoraOps.apply(buffers.stream(), lora.x[i], lora.base[i], lora.adapter[i], lora.u[i], y[i]), v -> {
                LoraOps.apply(buffers.stream(), lora.x[0], lora.base[0], lora.adapter[0], lora.u[0], y[0]);
                LinearWeight exact = lora.exactBase(v);
                for (long[] r : v.rows(m, n * k)) {
                    Tensor want = v.zeros(dtype, r[1], n);
                    LoraOps.apply(v.stream(), v.view(lora.x[0].rows(r[0], r[1])), exact, lora.adapter(v, 0, RANK),
                            v.view(lora.u[0].rows(r[0], r[1])), want);
                    v.compare(y[0].rows(r[0], r[1]), want);
                }
            });
        });
    }

    static BenchCase backward(String shape, long m, long n, long k, DType dtype, boolean nf4) {
        double e = dtype.bytes();
        Work work = new Work(2.0 * m * n * k + 4.0 * m * RANK * (n + k),
                e * m * (n + k) + base(n, k, dtype, nf4) + 4.0 * m * RANK + 8.0 * RANK * (n + k), e * m * k + 4.0 * RANK * (n + k));
        return new BenchCase("lora.backward." + kind(nf4), shape, withRank(m, n, k), dtype, work, (long) work.bytes(), null, buffers -> {
            Lora lora = new Lora(buffers, m, n, k, dtype, nf4);
            Tensor[] dy = buffers.random(dtype, m, n);
            Tensor[] dx = buffers.zeros(dtype, m, k);
            Tensor[] da = buffers.zeros(DType.F32, RANK, k);
            Tensor[] db = buffers.zeros(DType.F32, n, RANK);
            return new Subject(i -> LoraOps.backward(buffers.stream(), lora.x[i], dy[i], lora.u[i], lora.base[i], lora.adapter[i], false,
                    da[i], db[i], dx[i]), v -> {
                        LoraOps.backward(buffers.stream(), lora.x[0], dy[0], lora.u[0], lora.base[0], lora.adapter[0], false, da[0], db[0],
                                dx[0]);
                        LinearWeight exact = lora.exactBase(v);
                        // da and db sum over all tokens: compared in one rank, which costs a sixteenth
                        Tensor wantA = v.zeros(DType.F32, 1, k);
                        Tensor wantB = v.zeros(DType.F32, n, 1);
                        LoraOps.backward(v.stream(), v.view(lora.x[0]), v.view(dy[0]), v.view(lora.u[0].columns(RANK - 1, 1)), exact,
                                lora.adapter(v, RANK - 1, 1), false, wantA, wantB, null);
                        v.compare(da[0].rows(RANK - 1, 1), wantA);
                        v.compare(db[0].columns(RANK - 1, 1), wantB);
                        for (long[] r : v.rows(m, n * k)) {
                            Tensor want = v.zeros(dtype, r[1], k);
                            LoraOps.backward(v.stream(), v.view(lora.x[0].rows(r[0], r[1])), v.view(dy[0].rows(r[0], r[1])),
                                    v.view(lora.u[0].rows(r[0], r[1])), exact, lora.adapter(v, 0, RANK), false,
                                    v.zeros(DType.F32, RANK, k), v.zeros(DType.F32, n, RANK), want);
                            v.compare(dx[0].rows(r[0], r[1]), want);
                        }
                    });
        });
    }

    /// What forward and backward of an adapted layer read.
    private static final class Lora {
        private final Tensor source;
        private final LinearWeight[] base;
        private final LoraWeights[] adapter;
        private final Tensor[] x;
        private final Tensor[] u;
        private final boolean nf4;

        Lora(Buffers buffers, long m, long n, long k, DType dtype, boolean nf4) {
            this.nf4 = nf4;
            this.source = buffers.source(dtype, n, k);
            this.base = new LinearWeight[buffers.slots()];
            this.adapter = new LoraWeights[buffers.slots()];
            this.x = buffers.random(dtype, m, k);
            this.u = buffers.random(DType.F32, m, RANK);
            Tensor[] a = buffers.random(DType.F32, RANK, k);
            Tensor[] b = buffers.random(DType.F32, n, RANK);
            Nf4Weight[] packed = nf4 ? buffers.quantized(source) : null;
            Tensor[] plain = nf4 ? null : buffers.copiesOf(source);
            for (int i = 0; i < base.length; i++) {
                base[i] = nf4 ? LinearWeight.nf4(packed[i], null) : LinearWeight.dense(plain[i], null);
                adapter[i] = new LoraWeights(a[i], b[i], ALPHA);
            }
        }

        LinearWeight exactBase(Verifier v) {
            return nf4 ? LinearWeight.nf4(v.quantized(source), null) : LinearWeight.dense(v.view(source), null);
        }

        /// `count` of the adapter's ranks, at the scale of all of them.
        LoraWeights adapter(Verifier v, long from, long count) {
            return new LoraWeights(v.view(adapter[0].a().rows(from, count)), v.view(adapter[0].b().columns(from, count)),
                    ALPHA * count / RANK);
        }
    }

    private static String kind(boolean nf4) {
        return nf4 ? "nf4" : "dense";
    }

    private static double base(long n, long k, DType dtype, boolean nf4) {
        return (double) n * k * (nf4 ? LinearCases.NF4_BYTES : dtype.bytes());
    }

    private static Map<String, Long> withRank(long m, long n, long k) {
        return Map.of("m", m, "n", n, "k", k, "rank", (long) RANK);
    }
}
