package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.result.CaseResult.Work;
import io.github.nf4j.op.AdamwOptions;
import io.github.nf4j.op.AdamwParameters;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.OptimOps;
import java.util.List;
import java.util.Map;

/// Families `optim` and `memory`: work that is nothing but reading and writing.
final class StateCases {
    private static final int STATE_BLOCK = 256;
    private static final double FILLING = 0.3; // no type has it exactly

    private StateCases() {
    }

    /// One step for one parameter of n elements.
    static BenchCase adamw(String shape, long n, boolean eightBit) {
        double state = eightBit ? 2 + 8.0 / STATE_BLOCK : 8;
        Work work = new Work(12.0 * n, n * (8 + state), n * (4 + state));
        return new BenchCase(eightBit ? "optim.adamw8bit" : "optim.adamw", shape, Map.of("n", n), DType.F32, work,
                (long) (n * (8 + state)), null, buffers -> {
                    State state0 = new State(buffers, n, eightBit);
                    AdamwParameters[] steps = new AdamwParameters[buffers.slots()];
                    for (int i = 0; i < steps.length; i++) {
                        steps[i] = state0.parameters(i);
                    }
                    return new Subject(i -> step(buffers.stream(), steps[i]), v -> {
                        State copy = state0.copyFor(v);
                        step(buffers.stream(), steps[0]);
                        step(v.stream(), copy.parameters(0));
                        v.compare(state0.param[0], copy.param[0]);
                    });
                });
    }

    private static void step(Stream stream, AdamwParameters parameters) {
        OptimOps.adamw(stream, new AdamwOptions(1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1), parameters, null);
    }

    private record State(Tensor[] param, Tensor[] grad, Tensor[] m, Tensor[] v, Tensor[] absmax) {
        State(Buffers buffers, long n, boolean eightBit) {
            this(buffers.random(DType.F32, 1, n), buffers.random(DType.F32, 1, n), buffers.zeros(eightBit ? DType.U8 : DType.F32, 1, n),
                    buffers.zeros(eightBit ? DType.U8 : DType.F32, 1, n),
                    eightBit ? buffers.zeros(DType.F32, 1, 2 * Math.ceilDiv(n, STATE_BLOCK)) : null);
        }

        AdamwParameters parameters(int i) {
            return new AdamwParameters(List.of(new AdamwParameters.Parameter(param[i], grad[i], m[i], v[i],
                    absmax == null ? null : absmax[i])));
        }

        /// The state is updated in place, so the reference needs its own.
        State copyFor(Verifier verifier) {
            return new State(one(verifier, param), one(verifier, grad), one(verifier, m), one(verifier, v),
                    absmax == null ? null : one(verifier, absmax));
        }

        private static Tensor[] one(Verifier verifier, Tensor[] tensors) {
            Tensor copy = verifier.zeros(tensors[0].dtype(), 1, tensors[0].cols());
            MemoryOps.copy(verifier.stream(), verifier.view(tensors[0]), copy);
            return new Tensor[] {copy};
        }
    }

    static BenchCase globalNorm(String shape, long n) {
        Work work = new Work(2.0 * n, 4.0 * n, 8);
        return new BenchCase("optim.global_norm", shape, Map.of("n", n), DType.F32, work, 16 * n, null, buffers -> {
            State state = new State(buffers, n, false);
            AdamwParameters[] parameters = new AdamwParameters[buffers.slots()];
            for (int i = 0; i < parameters.length; i++) {
                parameters[i] = state.parameters(i);
            }
            Tensor[] norm = buffers.zeros(DType.F32, 1, 2);
            return new Subject(i -> OptimOps.globalNorm(buffers.stream(), parameters[i], 1, norm[i]), v -> {
                OptimOps.globalNorm(buffers.stream(), parameters[0], 1, norm[0]);
                Tensor want = v.zeros(DType.F32, 1, 2);
                OptimOps.globalNorm(v.stream(), state.copyFor(v).parameters(0), 1, want);
                v.compare(norm[0], want);
            });
        });
    }

    static BenchCase copy(String shape, long m, long n, DType dtype) {
        return memory("memory.copy", shape, m, n, dtype, dtype, (stream, x, unused, y) -> MemoryOps.copy(stream, x, y));
    }

    static BenchCase fill(String shape, long m, long n, DType dtype) {
        Work work = new Work(0, 0, (double) m * n * dtype.bytes());
        return new BenchCase("memory.fill", shape, Map.of("m", m, "n", n), dtype, work, (long) work.bytes(), null, buffers -> {
            Tensor[] y = buffers.random(dtype, m, n);
            return new Subject(i -> MemoryOps.fill(buffers.stream(), FILLING, y[i]), v -> {
                MemoryOps.fill(buffers.stream(), FILLING, y[0]);
                Tensor want = v.zeros(dtype, m, n);
                MemoryOps.fill(v.stream(), FILLING, want);
                v.compare(y[0], want);
            });
        });
    }

    static BenchCase cast(String shape, long m, long n, DType from) {
        DType to = from == DType.F32 ? DType.BF16 : DType.F32;
        return memory("memory.cast", shape, m, n, from, to, (stream, x, unused, y) -> MemoryOps.cast(stream, x, y));
    }

    static BenchCase add(String shape, long m, long n, DType dtype) {
        return memory("memory.add", shape, m, n, dtype, dtype, MemoryOps::add);
    }

    private interface Elementwise {
        void run(Stream stream, Tensor a, Tensor b, Tensor y);
    }

    private static BenchCase memory(String op, String shape, long m, long n, DType from, DType to, Elementwise operation) {
        boolean binary = op.endsWith(".add");
        Work work = new Work(binary ? m * n : 0, (binary ? 2.0 : 1.0) * m * n * from.bytes(), (double) m * n * to.bytes());
        return new BenchCase(op, shape, Map.of("m", m, "n", n), from, work, (long) work.bytes(), null, buffers -> {
            Tensor[] a = buffers.random(from, m, n);
            Tensor[] b = binary ? buffers.random(from, m, n) : a;
            Tensor[] y = buffers.zeros(to, m, n);
            return new Subject(i -> operation.run(buffers.stream(), a[i], b[i], y[i]), v -> {
                operation.run(buffers.stream(), a[0], b[0], y[0]);
                Tensor want = v.zeros(to, m, n);
                operation.run(v.stream(), v.view(a[0]), v.view(b[0]), want);
                v.compare(y[0], want);
            });
        });
    }
}
