package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.cases.BenchCase.Gemm;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Arrays;
import java.util.Map;
import java.util.function.IntFunction;

/// Families `nf4` and `dense`: products of m tokens with a weight [n, k].
final class LinearCases {
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

    private static Map<String, Long> dims(long m, long n, long k) {
        return Map.of("m", m, "n", n, "k", k);
    }
}
