package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.cases.BenchCase.Gemm;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Arrays;
import java.util.Map;
import java.util.function.IntFunction;

/// Families `nf4`, `dense` and `lora`: products of m tokens with a weight [n, k].
final class LinearCases {
    static final int RANK = 16;
    private static final float ALPHA = 32;
    /// Bytes of one NF4 element: 4 bits, 8 bits of scale per block of 64, an F32 per 256 blocks.
    static final double NF4_BYTES = 0.5 + 1.0 / Buffers.BLOCK_SIZE + 4.0 / (256 * Buffers.BLOCK_SIZE);
    /// More than the tables of an exported state take.
    private static final long STATE_TABLES = 4096;

    private LinearCases() {
    }

    static BenchCase matmul(String shape, long m, long n, long k, DType dtype) {
        Work work = new Work(2.0 * m * n * k, m * k * dtype.bytes() + NF4_BYTES * n * k, m * n * dtype.bytes());
        return new BenchCase("nf4.matmul", shape, dims(m, n, k), dtype, work, (long) work.bytes(), new Gemm(m, n, k, true), buffers -> {
            Tensor source = buffers.source(dtype, n, k);
            Nf4Weight[] w = buffers.quantized(source);
            Tensor[] x = buffers.random(dtype, m, k);
            Tensor[] y = buffers.zeros(dtype, m, n);
            return new Subject(i -> Nf4Ops.matmul(buffers.stream(), x[i], w[i], null, y[i]), v -> {
                Nf4Weight exact = v.quantized(source);
                Nf4Ops.matmul(buffers.stream(), x[0], w[0], null, y[0]);
                for (long[] r : v.rows(m, n * k)) {
                    Tensor want = v.zeros(dtype, r[1], n);
                    Nf4Ops.matmul(v.stream(), v.view(x[0].rows(r[0], r[1])), exact, null, want);
                    v.compare(y[0].rows(r[0], r[1]), want);
                }
            });
        });
    }

    static BenchCase matmulBackward(String shape, long m, long n, long k, DType dtype) {
        Work work = new Work(2.0 * m * n * k, m * n * dtype.bytes() + NF4_BYTES * n * k, m * k * dtype.bytes());
        return new BenchCase("nf4.matmul_backward", shape, dims(m, n, k), dtype, work, (long) work.bytes(),
                new Gemm(m, k, n, false), buffers -> {
                    Tensor source = buffers.source(dtype, n, k);
                    Nf4Weight[] w = buffers.quantized(source);
                    Tensor[] dy = buffers.random(dtype, m, n);
                    Tensor[] dx = buffers.zeros(dtype, m, k);
                    return new Subject(i -> Nf4Ops.matmulBackward(buffers.stream(), dy[i], w[i], dx[i]), v -> {
                        Nf4Weight exact = v.quantized(source);
                        Nf4Ops.matmulBackward(buffers.stream(), dy[0], w[0], dx[0]);
                        for (long[] r : v.rows(m, n * k)) {
                            Tensor want = v.zeros(dtype, r[1], k);
                            Nf4Ops.matmulBackward(v.stream(), v.view(dy[0].rows(r[0], r[1])), exact, want);
                            v.compare(dx[0].rows(r[0], r[1]), want);
                        }
                    });
                });
    }

    static BenchCase quantize(String shape, long n, long k, DType dtype) {
        Work work = new Work(0, (double) n * k * dtype.bytes(), NF4_BYTES * n * k);
        return new BenchCase("nf4.quantize", shape, Map.of("n", n, "k", k), dtype, work, (long) work.bytes(), null, buffers -> {
            Tensor[] source = buffers.random(dtype, n, k);
            Nf4Weight[] w = buffers.quantized(source[0]);
            return new Subject(i -> Nf4Ops.quantize(buffers.stream(), source[i], w[i]),
                    v -> compareDequantized(buffers, v, w[0], v.quantized(source[0])));
        });
    }

    static BenchCase dequantize(String shape, long n, long k, DType dtype) {
        Work work = new Work(0, NF4_BYTES * n * k, (double) n * k * dtype.bytes());
        return new BenchCase("nf4.dequantize", shape, Map.of("n", n, "k", k), dtype, work, (long) work.bytes(), null, buffers -> {
            Tensor source = buffers.source(dtype, n, k);
            Nf4Weight[] w = buffers.quantized(source);
            Tensor[] out = buffers.zeros(dtype, n, k);
            return new Subject(i -> Nf4Ops.dequantize(buffers.stream(), w[i], 0, out[i]),
                    v -> compareDequantized(buffers, v, w[0], v.quantized(source)));
        });
    }

    static BenchCase importState(String shape, long n, long k, DType dtype) {
        Work work = new Work(0, NF4_BYTES * n * k, NF4_BYTES * n * k);
        return new BenchCase("nf4.import", shape, Map.of("n", n, "k", k), dtype, work, (long) work.bytes(), null, buffers -> {
            Tensor source = buffers.source(dtype, n, k);
            Nf4State[] states = states(buffers, buffers.quantized(source));
            Nf4Weight[] w = buffers.quantized(buffers.source(dtype, n, k)); // of other numbers, until something is imported
            return new Subject(i -> Nf4Ops.importState(buffers.stream(), states[i], w[i]), v -> {
                compareStates(v, states[0], source);
                Nf4Ops.importState(buffers.stream(), states[0], w[0]);
                compareDequantized(buffers, v, w[0], v.quantized(source));
            });
        });
    }

    static BenchCase exportState(String shape, long n, long k, DType dtype) {
        Work work = new Work(0, NF4_BYTES * n * k, NF4_BYTES * n * k);
        return new BenchCase("nf4.export", shape, Map.of("n", n, "k", k), dtype, work, (long) work.bytes(), null, buffers -> {
            Tensor source = buffers.source(dtype, n, k);
            Nf4Weight[] w = buffers.quantized(source);
            MemorySegment[] memory = new MemorySegment[w.length];
            Arrays.setAll(memory, i -> Arena.ofAuto().allocate(w[i].bytes() + STATE_TABLES));
            IntFunction<Nf4State> export = i -> Nf4Ops.exportState(buffers.stream(), w[i], SegmentAllocator.slicingAllocator(memory[i]));
            return new Subject(export::apply, v -> compareStates(v, export.apply(0), source));
        });
    }

    private static Nf4State[] states(Buffers buffers, Nf4Weight[] weights) {
        Nf4State[] states = new Nf4State[weights.length];
        Arrays.setAll(states, i -> Nf4Ops.exportState(buffers.stream(), weights[i], Arena.ofAuto()));
        buffers.stream().synchronize();
        return states;
    }

    /// Bit by bit.
    private static void compareStates(Verifier v, Nf4State got, Tensor source) {
        Nf4State want = Nf4Ops.exportState(v.stream(), v.quantized(source), Arena.ofAuto());
        v.require(got.codes().mismatch(want.codes()) == -1 && got.absmax8().mismatch(want.absmax8()) == -1);
        v.require(got.nestedAbsmax().mismatch(want.nestedAbsmax()) == -1 && got.nestedOffset() == want.nestedOffset());
        v.require(got.quantMap().mismatch(want.quantMap()) == -1 && got.nestedMap().mismatch(want.nestedMap()) == -1);
    }

    static void compareDequantized(Buffers buffers, Verifier v, Nf4Weight got, Nf4Weight want) {
        try (Buffers own = new Buffers(buffers.stream(), 1, 0)) {
            for (long[] r : v.rows(want.rows(), 4.0 * want.cols())) {
                Tensor actual = own.zeros(DType.F32, r[1], want.cols())[0];
                Tensor expected = v.zeros(DType.F32, r[1], want.cols());
                Nf4Ops.dequantize(buffers.stream(), got, r[0], actual);
                Nf4Ops.dequantize(v.stream(), want, r[0], expected);
                v.compare(actual, expected);
            }
        }
    }

    static BenchCase dense(String shape, long m, long n, long k, DType dtype) {
        double e = dtype.bytes();
        Work work = new Work(2.0 * m * n * k, e * (m * k + n * k), e * m * n);
        return new BenchCase("dense.matmul", shape, dims(m, n, k), dtype, work, (long) work.bytes(), new Gemm(m, n, k, true), buffers -> {
            Tensor[] w = buffers.random(dtype, n, k);
            Tensor[] x = buffers.random(dtype, m, k);
            Tensor[] y = buffers.zeros(dtype, m, n);
            return new Subject(i -> DenseOps.matmul(buffers.stream(), false, true, 1, 0, x[i], w[i], null, y[i]), v -> {
                DenseOps.matmul(buffers.stream(), false, true, 1, 0, x[0], w[0], null, y[0]);
                for (long[] r : v.rows(m, n * k)) {
                    Tensor want = v.zeros(dtype, r[1], n);
                    DenseOps.matmul(v.stream(), false, true, 1, 0, v.view(x[0].rows(r[0], r[1])), v.view(w[0]), null, want);
                    v.compare(y[0].rows(r[0], r[1]), want);
                }
            });
        });
    }

    static BenchCase loraForward(String shape, long m, long n, long k, DType dtype, boolean nf4) {
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

    static BenchCase loraBackward(String shape, long m, long n, long k, DType dtype, boolean nf4) {
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
        return (double) n * k * (nf4 ? NF4_BYTES : dtype.bytes());
    }

    private static Map<String, Long> dims(long m, long n, long k) {
        return Map.of("m", m, "n", n, "k", k);
    }

    private static Map<String, Long> withRank(long m, long n, long k) {
        return Map.of("m", m, "n", n, "k", k, "rank", (long) RANK);
    }
}
