package io.github.nf4j.cli;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceLostException;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.AdamwOptions;
import io.github.nf4j.op.AdamwParameters;
import io.github.nf4j.op.AttentionOps;
import io.github.nf4j.op.AttentionShape;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.EmbeddingOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.LossOps;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.MlpOps;
import io.github.nf4j.op.Nf4Ops;
import io.github.nf4j.op.NormOps;
import io.github.nf4j.op.OptimOps;
import io.github.nf4j.op.PackedSequences;
import io.github.nf4j.op.RopeOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/// Runs every operation family on a device and on the `reference` backend, with the same seeded numbers.
///
/// It tells a working installation from a broken one; whether kernels are right in every corner is what the tests are for.
final class SelfCheck {
    private static final long SEED = 1;
    // Shapes that no tile divides, large enough that every loop of a kernel is entered.
    private static final int TOKENS = 37;
    private static final int IN = 200;
    private static final int OUT = 328;
    private static final int RANK = 8;
    private static final int HEADS = 4;
    private static final int KV_HEADS = 2;
    private static final int HEAD_DIM = 24;
    private static final int VOCABULARY = 259;

    private static final Map<String, Consumer<Session>> FAMILIES = new LinkedHashMap<>();

    static {
        FAMILIES.put("memory", SelfCheck::memory);
        FAMILIES.put("nf4", SelfCheck::nf4);
        FAMILIES.put("dense", SelfCheck::dense);
        FAMILIES.put("lora", SelfCheck::lora);
        FAMILIES.put("norm", SelfCheck::norm);
        FAMILIES.put("rope", SelfCheck::rope);
        FAMILIES.put("attention", SelfCheck::attention);
        FAMILIES.put("mlp", SelfCheck::mlp);
        FAMILIES.put("embedding", SelfCheck::embedding);
        FAMILIES.put("loss", SelfCheck::loss);
        FAMILIES.put("optim", SelfCheck::optim);
    }

    /// What came out for one family.
    ///
    /// @param difference |device - reference| / |reference| of the output that differs most, as 2-norms; NaN if the family failed
    /// @param failure    why it failed, or null
    record Result(String family, DType dtype, double difference, String failure) {
        /// Sums in another order cost a few roundings of F32; an output in BF16 costs one of 2^-9.
        private static double limit(DType dtype) {
            return dtype == DType.F32 ? 1e-5 : 5e-3;
        }

        boolean passed() {
            return difference <= limit(dtype);
        }
    }

    private SelfCheck() {
    }

    /// Checks every family in F32 and BF16.
    ///
    /// @param listener gets each result at once
    /// @throws DeviceLostException if the device is lost on the way
    static void run(Device device, Consumer<Result> listener) {
        try (Device reference = Device.open(Backend.REFERENCE)) {
            FAMILIES.forEach((family, program) -> {
                for (DType dtype : List.of(DType.F32, DType.BF16)) {
                    listener.accept(check(family, dtype, program, device, reference));
                }
            });
        }
    }

    private static Result check(String family, DType dtype, Consumer<Session> program, Device device, Device reference) {
        try (Session candidate = new Session(device, dtype); Session expected = new Session(reference, dtype)) {
            program.accept(candidate);
            program.accept(expected);
            double largest = 0;
            for (int i = 0; i < expected.outputs.size(); i++) {
                largest = worse(largest, difference(candidate.read(candidate.outputs.get(i)), expected.read(expected.outputs.get(i))));
            }
            return new Result(family, dtype, largest, null);
        } catch (DeviceLostException e) {
            throw e; // what follows could tell no more
        } catch (RuntimeException e) {
            return new Result(family, dtype, Double.NaN, e.getMessage());
        }
    }

    /// NaN is the worst of all.
    private static double worse(double a, double b) {
        return Double.isNaN(a) || a >= b ? a : b;
    }

    private static double difference(MemorySegment candidate, MemorySegment expected) {
        double error = 0;
        double size = 0;
        for (long i = 0; i < expected.byteSize() / Float.BYTES; i++) {
            double want = expected.getAtIndex(ValueLayout.JAVA_FLOAT, i);
            double delta = candidate.getAtIndex(ValueLayout.JAVA_FLOAT, i) - want;
            error += delta * delta;
            size += want * want;
        }
        return Math.sqrt(error / size);
    }

    private static void memory(Session s) {
        Tensor sum = s.output(TOKENS, IN);
        MemoryOps.fill(s.stream, 0.5, sum);
        MemoryOps.add(s.stream, sum, s.random(TOKENS, IN), sum);
    }

    private static void nf4(Session s) {
        Nf4Weight weight = s.quantized(OUT, IN);
        Nf4Ops.dequantize(s.stream, weight, 3, s.output(OUT - 3, IN));
        Nf4Ops.matmul(s.stream, s.random(TOKENS, IN), weight, s.random(1, OUT), s.output(TOKENS, OUT));
        Nf4Ops.matmul(s.stream, s.random(1, IN), weight, null, s.output(1, OUT));
        Nf4Ops.matmulBackward(s.stream, s.random(TOKENS, OUT), weight, s.output(TOKENS, IN));
    }

    private static void dense(Session s) {
        DenseOps.matmul(s.stream, false, true, 1, 0, s.random(TOKENS, IN), s.random(OUT, IN), null, s.output(TOKENS, OUT));
        DenseOps.matmul(s.stream, true, false, 0.5f, 0, s.random(TOKENS, OUT), s.random(TOKENS, IN), null, s.output(OUT, IN));
    }

    private static void lora(Session s) {
        LinearWeight base = LinearWeight.nf4(s.quantized(OUT, IN), null);
        LoraWeights adapter = new LoraWeights(s.random(RANK, IN), s.random(OUT, RANK), 16, false, 0.1f, SEED);
        Tensor x = s.random(TOKENS, IN);
        Tensor u = s.zeros(DType.F32, TOKENS, RANK);
        LoraOps.forward(s.stream, x, base, adapter, u, s.output(TOKENS, OUT));
        Tensor again = s.output(DType.F32, TOKENS, RANK);
        LoraWeights other = new LoraWeights(s.random(RANK, IN), null, 16, false, 0.1f, SEED + 1);
        LoraOps.project(s.stream, x, List.of(other, adapter), List.of(s.output(DType.F32, TOKENS, RANK), again));
        LoraOps.apply(s.stream, x, base, adapter, again, s.output(TOKENS, OUT));
        LoraOps.backward(s.stream, x, s.random(TOKENS, OUT), u, base, adapter, false, s.output(DType.F32, RANK, IN),
                s.output(DType.F32, OUT, RANK), s.output(TOKENS, IN));
    }

    private static void norm(Session s) {
        Tensor x = s.random(TOKENS, IN);
        Tensor weight = s.random(1, IN);
        Tensor rstd = s.output(DType.F32, 1, TOKENS);
        NormOps.forward(s.stream, x, weight, 1e-5f, rstd, s.output(TOKENS, IN));
        NormOps.backward(s.stream, s.random(TOKENS, IN), x, weight, rstd, false, s.output(DType.F32, 1, IN), s.output(TOKENS, IN));
    }

    private static void rope(Session s) {
        Tensor table = s.output(DType.F32, TOKENS, HEAD_DIM);
        RopeOps.table(s.stream, s.integers(TOKENS, 4096), s.randomF32(1, HEAD_DIM / 2), 1, table);
        RopeOps.forward(s.stream, s.random(TOKENS, HEADS * HEAD_DIM), table, s.output(TOKENS, HEADS * HEAD_DIM));
        RopeOps.backward(s.stream, s.random(TOKENS, HEADS * HEAD_DIM), table, s.output(TOKENS, HEADS * HEAD_DIM));
    }

    private static void attention(Session s) {
        AttentionShape shape = AttentionShape.of(HEADS, KV_HEADS, HEAD_DIM);
        PackedSequences sequences = PackedSequences.ofLengths(TOKENS - 5, 5);
        Tensor q = s.random(TOKENS, HEADS * HEAD_DIM);
        Tensor k = s.random(TOKENS, KV_HEADS * HEAD_DIM);
        Tensor v = s.random(TOKENS, KV_HEADS * HEAD_DIM);
        Tensor lse = s.output(DType.F32, TOKENS, HEADS);
        Tensor out = s.output(TOKENS, HEADS * HEAD_DIM);
        AttentionOps.forward(s.stream, shape, sequences, q, k, v, lse, out);
        AttentionOps.backward(s.stream, shape, sequences, q, k, v, lse, out, s.random(TOKENS, HEADS * HEAD_DIM),
                s.output(TOKENS, HEADS * HEAD_DIM), s.output(TOKENS, KV_HEADS * HEAD_DIM), s.output(TOKENS, KV_HEADS * HEAD_DIM));
    }

    private static void mlp(Session s) {
        Tensor gate = s.random(TOKENS, IN);
        Tensor up = s.random(TOKENS, IN);
        MlpOps.swigluForward(s.stream, gate, up, s.output(TOKENS, IN));
        MlpOps.swigluBackward(s.stream, s.random(TOKENS, IN), gate, up, s.output(TOKENS, IN), s.output(TOKENS, IN));
    }

    private static void embedding(Session s) {
        Tensor ids = s.integers(TOKENS, VOCABULARY);
        EmbeddingOps.forward(s.stream, ids, s.random(VOCABULARY, IN), s.output(TOKENS, IN));
        EmbeddingOps.backward(s.stream, ids, s.random(TOKENS, IN), s.output(DType.F32, VOCABULARY, IN));
    }

    private static void loss(Session s) {
        LossOps.linearCrossEntropy(s.stream, s.random(TOKENS, IN), LinearWeight.dense(s.random(VOCABULARY, IN), null),
                s.integers(TOKENS, VOCABULARY), 1f / TOKENS, s.output(DType.F32, 1, TOKENS), s.output(TOKENS, IN));
    }

    private static void optim(Session s) {
        Tensor parameter = s.output(DType.F32, 1, OUT);
        AdamwParameters parameters = new AdamwParameters(List.of(new AdamwParameters.Parameter(parameter, s.randomF32(1, OUT),
                s.output(DType.F32, 1, OUT), s.output(DType.F32, 1, OUT), null)));
        Tensor norm = s.output(DType.F32, 1, 2);
        OptimOps.globalNorm(s.stream, parameters, 1, norm);
        Tensor step = s.zeros(DType.U8, 1, AdamwOptions.STEP_BYTES);
        OptimOps.adamwStep(s.stream, new AdamwOptions(1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1), step);
        OptimOps.adamw(s.stream, new AdamwOptions(0, 0.9f, 0.999f, 1e-8f, 0, 1, step), parameters, norm.columns(1, 1));
    }

    /// One device's side of a check: the tensors that a program asks for, in the same order with the same numbers on every device.
    private static final class Session implements AutoCloseable {
        private final Arena arena = Arena.ofConfined();
        private final SplittableRandom random = new SplittableRandom(SEED);
        private final List<Tensor> tensors = new ArrayList<>();
        private final List<Nf4Weight> weights = new ArrayList<>();
        private final List<Tensor> outputs = new ArrayList<>();
        private final DType dtype;
        private final Stream stream;

        Session(Device device, DType dtype) {
            this.dtype = dtype;
            this.stream = device.newStream();
        }

        Tensor zeros(DType type, long rows, long cols) {
            Tensor tensor = Tensor.allocate(stream.device(), type, rows, cols);
            tensors.add(tensor);
            MemoryOps.fill(stream, 0, tensor);
            return tensor;
        }

        /// Zeros that will be compared.
        Tensor output(DType type, long rows, long cols) {
            Tensor tensor = zeros(type, rows, cols);
            outputs.add(tensor);
            return tensor;
        }

        Tensor output(long rows, long cols) {
            return output(dtype, rows, cols);
        }

        Tensor randomF32(long rows, long cols) {
            Tensor host = Tensor.ofHost(arena.allocate(ValueLayout.JAVA_FLOAT, rows * cols), DType.F32, rows, cols);
            for (long i = 0; i < rows * cols; i++) {
                host.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextDouble(-1, 1));
            }
            Tensor tensor = zeros(DType.F32, rows, cols);
            MemoryOps.copy(stream, host, tensor);
            return tensor;
        }

        Tensor random(long rows, long cols) {
            Tensor values = randomF32(rows, cols);
            Tensor tensor = zeros(dtype, rows, cols);
            MemoryOps.cast(stream, values, tensor);
            return tensor;
        }

        Tensor integers(int count, int bound) {
            Tensor host = Tensor.ofHost(arena.allocate(ValueLayout.JAVA_INT, count), DType.I32, 1, count);
            for (int i = 0; i < count; i++) {
                host.segment().setAtIndex(ValueLayout.JAVA_INT, i, random.nextInt(bound));
            }
            Tensor tensor = Tensor.allocate(stream.device(), DType.I32, 1, count);
            tensors.add(tensor);
            MemoryOps.copy(stream, host, tensor);
            return tensor;
        }

        Nf4Weight quantized(long rows, long cols) {
            Nf4Weight weight = Nf4Weight.quantize(stream, random(rows, cols), 64, true);
            weights.add(weight);
            return weight;
        }

        /// A tensor as F32 in host memory.
        MemorySegment read(Tensor tensor) {
            Tensor floats = zeros(DType.F32, tensor.rows(), tensor.cols());
            MemoryOps.cast(stream, tensor, floats);
            MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.rows() * tensor.cols());
            MemoryOps.copy(stream, floats, Tensor.ofHost(host, DType.F32, tensor.rows(), tensor.cols()));
            stream.synchronize();
            return host;
        }

        @Override
        public void close() {
            stream.close();
            weights.forEach(Nf4Weight::close);
            tensors.forEach(Tensor::close);
            arena.close();
        }
    }
}
