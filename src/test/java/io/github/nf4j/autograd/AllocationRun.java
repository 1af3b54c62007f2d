package io.github.nf4j.autograd;

import com.sun.management.ThreadMXBean;
import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.nn.DeviceBatch;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.LoraSettings;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.TokenBatch;
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
import io.github.nf4j.optim.AdamW;
import io.github.nf4j.train.PretrainedModel;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;

/// What [AllocationTest] runs in a JVM without a coverage agent: prints the bytes of Java heap that a warm pass of a tape takes, a warm
/// training step and a warm call of each operation.
public final class AllocationRun {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private static final int CALLS = 200; // in a round
    private static final int MOST_ROUNDS = 100; // until the JIT compiler is through
    private static final int SIZE = 64;
    private static final int RANK = 8;
    private static final long SEED = 7;

    private final Stream stream;
    private final List<Tensor> tensors = new ArrayList<>();

    private AllocationRun(Stream stream) {
        this.stream = stream;
    }

    /// @param arguments the folder of a model
    public static void main(String[] arguments) throws IOException {
        try (Device device = Device.open(new DeviceOptions(Backend.CPU, 0, 1, Isa.AUTO));
                Stream stream = device.newStream(1 << 20);
                Nf4Weight weight = Nf4Weight.allocate(device, SIZE, SIZE, 64, true)) {
            AllocationRun run = new AllocationRun(stream);
            Nf4Ops.quantize(stream, run.tensor(SIZE, SIZE), weight);
            run.tapes(weight);
            run.training(Path.of(arguments[0]));
            run.products(weight);
            run.layers();
            run.structs(weight, false);
            run.structs(weight, true); // late: compiled code of the others shall not know of it, nor of the next
            run.argumentsInSharedArenas();
            run.tensors.forEach(Tensor::close);
        }
    }

    private void products(Nf4Weight weight) {
        Tensor x = tensor(1, SIZE);
        Tensor y = tensor(1, SIZE);
        Tensor w = tensor(SIZE, SIZE);
        measure("nf4.quantize", () -> Nf4Ops.quantize(stream, w, weight));
        measure("nf4.dequantize", () -> Nf4Ops.dequantize(stream, weight, 0, w));
        measure("nf4.matmul", () -> Nf4Ops.matmul(stream, x, weight, x, y));
        measure("nf4.matmul_backward", () -> Nf4Ops.matmulBackward(stream, x, weight, y));
        measure("dense.matmul", () -> DenseOps.matmul(stream, false, true, 1, 0, x, w, x, y));
    }

    private void layers() {
        Tensor x = tensor(1, SIZE);
        Tensor y = tensor(1, SIZE);
        Tensor z = tensor(1, SIZE);
        Tensor dx = tensor(1, SIZE);
        Tensor dz = tensor(1, SIZE);
        Tensor row = tensor(1, SIZE);
        Tensor one = tensor(1, 1);
        Tensor table = tensor(1, SIZE);
        Tensor ids = ints();
        measure("memory.fill", () -> MemoryOps.fill(stream, 0.5, y));
        measure("memory.copy", () -> MemoryOps.copy(stream, x, y));
        measure("memory.add", () -> MemoryOps.add(stream, x, row, y));
        measure("norm.forward", () -> NormOps.forward(stream, x, row, 1e-5f, one, y));
        measure("norm.backward", () -> NormOps.backward(stream, y, x, row, one, false, table, dx));
        measure("rope.forward", () -> RopeOps.forward(stream, x, table, y));
        measure("rope.backward", () -> RopeOps.backward(stream, y, table, dx));
        measure("mlp.swiglu_forward", () -> MlpOps.swigluForward(stream, x, row, y));
        measure("mlp.swiglu_backward", () -> MlpOps.swigluBackward(stream, y, x, row, dx, z));
        measure("embedding.forward", () -> EmbeddingOps.forward(stream, ids, table, y));
        measure("embedding.backward", () -> EmbeddingOps.backward(stream, ids, y, table));
        AttentionShape shape = AttentionShape.of(1, 1, SIZE);
        PackedSequences sequence = PackedSequences.ofLengths(1);
        measure("attention.forward", () -> AttentionOps.forward(stream, shape, sequence, x, row, table, one, y));
        Tensor dq = tensor(1, SIZE);
        measure("attention.backward",
                () -> AttentionOps.backward(stream, shape, sequence, x, row, table, one, y, z, dq, dx, dz));
    }

    /// Calls with structs that point to memory.
    ///
    /// @param shared whether that lies in arenas which other threads can close
    private void structs(Nf4Weight weight, boolean shared) {
        Tensor x = tensor(1, SIZE);
        Tensor y = tensor(1, SIZE);
        Tensor u = tensor(1, RANK);
        Tensor bias = inner(shared, 1, SIZE);
        LinearWeight base = LinearWeight.dense(inner(shared, SIZE, SIZE), bias);
        LinearWeight packed = LinearWeight.nf4(weight, bias);
        LoraWeights lora = new LoraWeights(inner(shared, RANK, SIZE), inner(shared, SIZE, RANK), 1);
        String where = shared ? ", shared arenas" : "";
        measure("lora.forward" + where, () -> LoraOps.forward(stream, x, base, lora, u, y));
        measure("lora.forward, nf4" + where, () -> LoraOps.forward(stream, x, packed, lora, u, y));
        List<LoraWeights> loras = List.of(lora, lora);
        List<Tensor> us = List.of(u, tensor(1, RANK));
        measure("lora.project" + where, () -> LoraOps.project(stream, x, loras, us));
        measure("lora.apply" + where, () -> LoraOps.apply(stream, x, base, lora, u, y));
        Tensor da = tensor(RANK, SIZE);
        Tensor db = tensor(SIZE, RANK);
        Tensor dx = tensor(1, SIZE);
        measure("lora.backward" + where, () -> LoraOps.backward(stream, x, y, u, base, lora, false, da, db, dx));
        Tensor labels = ints();
        Tensor loss = tensor(1, 1);
        measure("loss.linear_cross_entropy" + where, () -> LossOps.linearCrossEntropy(stream, x, base, labels, 1, loss, dx));
        Arena arena = shared ? Arena.ofShared() : Arena.ofConfined();
        Nf4State state = Nf4Ops.exportState(stream, weight, arena);
        measure("nf4.import" + where, () -> Nf4Ops.importState(stream, state, weight));
        AdamwParameters parameters = new AdamwParameters(List.of(new AdamwParameters.Parameter(inner(shared, SIZE, RANK),
                inner(shared, SIZE, RANK), inner(shared, SIZE, RANK), inner(shared, SIZE, RANK), null)));
        AdamwOptions options = new AdamwOptions(1e-3f, 0.9f, 0.99f, 1e-8f, 0, 1);
        Tensor norm = tensor(1, 2);
        Tensor scale = norm.columns(1, 1);
        measure("optim.global_norm" + where, () -> OptimOps.globalNorm(stream, parameters, 1, norm));
        measure("optim.adamw" + where, () -> OptimOps.adamw(stream, options, parameters, scale));
    }

    private void argumentsInSharedArenas() {
        Tensor x = shared(1, SIZE);
        Tensor w = shared(SIZE, SIZE);
        Tensor y = shared(1, SIZE);
        measure("memory.copy, shared arenas", () -> MemoryOps.copy(stream, x, y));
        measure("dense.matmul, shared arenas", () -> DenseOps.matmul(stream, false, true, 1, 0, x, w, x, y));
    }

    /// The MLP of a decoder's layer with its norm, an adapter, the residual connection and the loss: seven operations, and the rules
    /// of the six that are recorded. Then the same closed without backward, and without recording.
    private void tapes(Nf4Weight weight) {
        LinearWeight up = LinearWeight.dense(tensor(SIZE, SIZE), null);
        LinearWeight gate = LinearWeight.nf4(weight, null);
        LinearWeight head = LinearWeight.dense(tensor(SIZE, SIZE), null);
        Tensor x = tensor(1, SIZE);
        Tensor row = tensor(1, SIZE);
        Tensor labels = ints();
        try (TensorPool pool = new TensorPool(stream);
                Parameter a = new Parameter(stream.device(), "a", RANK, SIZE);
                Parameter b = new Parameter(stream.device(), "b", SIZE, RANK)) {
            MemoryOps.fill(stream, 0.1, a.value());
            MemoryOps.fill(stream, 0.1, b.value());
            a.zeroGrad(stream);
            b.zeroGrad(stream);
            LinearFunction.Layer down = new LinearFunction.Layer(gate, new LoraWeights(a.value(), b.value(), 1), a, b);
            Consumer<Tape> forward = tape -> {
                Variable input = tape.leaf(x, true);
                Variable normed = RmsNormFunction.apply(tape, input, row, 1e-5f);
                Variable h = SwiGluFunction.apply(tape, LinearFunction.apply(tape, normed, gate),
                        LinearFunction.apply(tape, normed, up));
                normed.release();
                Variable y = LinearFunction.apply(tape, h, down);
                h.release();
                Variable sum = AddFunction.apply(tape, input, y);
                LinearCrossEntropyFunction.apply(tape, sum, head, labels, 1e-3f).release();
            };
            measure("tape", () -> {
                try (Tape tape = Tape.recording(pool)) {
                    forward.accept(tape);
                    tape.backward();
                }
            });
            measure("tape without backward", () -> {
                try (Tape tape = Tape.recording(pool)) {
                    forward.accept(tape);
                }
            });
            measure("inference", () -> {
                try (Tape tape = Tape.inference(pool)) {
                    forward.accept(tape);
                }
            });
        }
    }

    /// Training steps of a tiny model with an adapter on each projection: what a graph would capture, on a batch in device memory, and
    /// whole steps, which bring the batch there and read loss and norm.
    private void training(Path folder) throws IOException {
        List<int[]> sequences = List.of(new int[] {5, 6, 7, 8, 9}, new int[] {10, 11, 12});
        TokenBatch batch = TokenBatch.of(sequences, sequences);
        try (PretrainedModel files = PretrainedModel.open(folder);
                LlamaModel model = files.load(stream, Quantization.nf4(), DType.F32)) {
            model.attachAdapters(_ -> Optional.of(new LoraSettings(RANK, 16, false, 0.1)), 1);
            try (TensorPool inputs = new TensorPool(stream);
                    TensorPool pool = new TensorPool(stream);
                    AdamW optimizer = new AdamW(stream, model.parameters(), AdamW.Settings.of(0.01))) {
                DeviceBatch memory = model.batchMemory(inputs, batch, true);
                memory.write(batch, SEED);
                measure("step on the device", () -> {
                    optimizer.zeroGrad();
                    try (Tape tape = Tape.recording(pool)) {
                        model.losses(tape, memory, 1).release();
                        tape.backward();
                    }
                    optimizer.update(1);
                });
                measure("whole step", () -> {
                    optimizer.zeroGrad();
                    try (Tape tape = Tape.recording(pool)) {
                        model.loss(tape, batch, 1, OptionalLong.of(SEED));
                        tape.backward();
                    }
                    optimizer.step(1e-4, 1);
                });
            }
        }
    }

    private static void measure(String name, Runnable call) {
        long least = Long.MAX_VALUE;
        for (int round = 0; round < MOST_ROUNDS && least > 0; round++) {
            long before = THREADS.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < CALLS; i++) {
                call.run();
            }
            least = Math.min(least, THREADS.getCurrentThreadAllocatedBytes() - before);
        }
        System.out.println(name + ": " + Math.ceilDiv(least, CALLS) + " bytes");
    }

    /// In memory of the device.
    private Tensor tensor(long rows, long cols) {
        return filled(Tensor.allocate(stream.device(), DType.F32, rows, cols));
    }

    /// In an arena of its own.
    private Tensor shared(long rows, long cols) {
        return filled(Tensor.ofHost(Arena.ofShared().allocate(rows * cols * Float.BYTES, 64), DType.F32, rows, cols));
    }

    private Tensor inner(boolean shared, long rows, long cols) {
        return shared ? shared(rows, cols) : tensor(rows, cols);
    }

    private Tensor filled(Tensor tensor) {
        tensors.add(tensor);
        MemoryOps.fill(stream, 0.1, tensor);
        return tensor;
    }

    private Tensor ints() {
        Tensor tensor = Tensor.allocate(stream.device(), DType.I32, 1, 1);
        tensors.add(tensor);
        tensor.setInts(0);
        return tensor;
    }
}
