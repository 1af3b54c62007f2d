package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

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
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Another thread closes the shared arena of one of a call's tensors, each in turn, also of those inside structs: while the call runs the
/// closer is refused, afterwards the caller. The arena maps a file, so that memory which is gone would end the JVM. Every tensor lies in
/// an arena of its own, and the reference backend is slow enough for the closer to come in between.
class ClosedArenaTest {
    private static final int ROUNDS = 2;
    /// There are more rounds where the closer never met a call, up to so many.
    private static final int MOST_ROUNDS = 500;
    private static final int SIZE = 64;
    private static final long BYTES = SIZE * SIZE * Float.BYTES;
    private static final int RANK = 8;
    private static final AttentionShape SHAPE = AttentionShape.of(2, 1, SIZE / 2);
    private static final PackedSequences SEQUENCE = PackedSequences.ofLengths(SIZE);
    private static final AdamwOptions STEP = new AdamwOptions(0.1f, 0.9f, 0.99f, 1e-8f, 0, 1);
    /// Each with four tensors: many pairs of arenas.
    private static final int PARAMETERS = 10;

    private static Device device;
    private static io.github.nf4j.Stream stream;
    private static Nf4Weight plain;
    private static Nf4Weight nested;

    @TempDir
    private Path folder;

    /// Calls with tensors [SIZE, SIZE] in F32, of which it may take a part.
    @FunctionalInterface
    private interface Operation {
        void run(Tensor[] t);
    }

    static Stream<Arguments> tensors() {
        return Stream.of(
                each("memory.fill", 1, t -> MemoryOps.fill(stream, 1, t[0])),
                each("memory.copy", 2, t -> MemoryOps.copy(stream, t[0], t[1])),
                each("memory.add", 3, t -> MemoryOps.add(stream, t[0], t[1], t[2])),
                each("dense.matmul", 4, t -> DenseOps.matmul(stream, false, true, 1, 0, t[0], t[1], row(t[2]), t[3])),
                each("nf4.quantize", 1, t -> Nf4Ops.quantize(stream, t[0], plain)),
                each("nf4.dequantize", 1, t -> Nf4Ops.dequantize(stream, plain, 0, t[0])),
                each("nf4.import", 3, t -> Nf4Ops.importState(stream, Nf4State.allocate(in(t), SIZE, SIZE, 64, false), plain)),
                each("nf4.import, nested", 5, t -> Nf4Ops.importState(stream, Nf4State.allocate(in(t), SIZE, SIZE, 64, true), nested)),
                each("nf4.export", 3, t -> Nf4Ops.exportState(stream, plain, in(t))),
                each("nf4.export, nested", 5, t -> Nf4Ops.exportState(stream, nested, in(t))),
                each("nf4.matmul", 3, t -> Nf4Ops.matmul(stream, t[0], plain, row(t[1]), t[2])),
                each("nf4.matmul_backward", 2, t -> Nf4Ops.matmulBackward(stream, t[0], plain, t[1])),
                each("lora.forward", 8, t -> LoraOps.forward(stream, t[0], LinearWeight.dense(t[1], row(t[2])), dropout(t[3], t[4], t[5]),
                        t[6].columns(0, RANK), t[7])),
                each("lora.forward, nf4", 6, t -> LoraOps.forward(stream, t[0], LinearWeight.nf4(plain, row(t[1])), lora(t[2], t[3]),
                        t[4].columns(0, RANK), t[5])),
                each("lora.backward", 11, t -> LoraOps.backward(stream, t[0], t[1], t[2].columns(0, RANK),
                        LinearWeight.dense(t[3], row(t[4])), dropout(t[5], t[6], t[7]), false, t[8].rows(0, RANK), t[9].columns(0, RANK),
                        t[10])),
                each("lora.project", 7, t -> LoraOps.project(stream, t[0], List.of(dropout(t[1], t[1], t[2]), dropout(t[3], t[3], t[4])),
                        List.of(t[5].columns(0, RANK), t[6].columns(0, RANK)))),
                each("lora.apply", 6, t -> LoraOps.apply(stream, t[0], LinearWeight.dense(t[1], row(t[2])), lora(t[3], t[3]),
                        t[4].columns(0, RANK), t[5])),
                each("norm.forward", 4, t -> NormOps.forward(stream, t[0], row(t[1]), 1e-5f, row(t[2]), t[3])),
                each("norm.backward", 6,
                        t -> NormOps.backward(stream, t[0], t[1], row(t[2]), row(t[3]), false, row(t[4]), t[5])),
                each("rope.table", 3, t -> RopeOps.table(stream, ints(t[0]), row(t[1]).columns(0, SIZE / 2), 1, t[2])),
                each("rope.forward", 3, t -> RopeOps.forward(stream, t[0], t[1], t[2])),
                each("rope.backward", 3, t -> RopeOps.backward(stream, t[0], t[1], t[2])),
                each("attention.forward", 5, t -> AttentionOps.forward(stream, SHAPE, SEQUENCE, t[0], half(t[1]), half(t[2]),
                        t[3].columns(0, 2), t[4])),
                each("attention.backward", 9, t -> AttentionOps.backward(stream, SHAPE, SEQUENCE, t[0], half(t[1]), half(t[2]),
                        t[3].columns(0, 2), t[4], t[5], t[6], half(t[7]), half(t[8]))),
                each("mlp.swiglu_forward", 3, t -> MlpOps.swigluForward(stream, t[0], t[1], t[2])),
                each("mlp.swiglu_backward", 5, t -> MlpOps.swigluBackward(stream, t[0], t[1], t[2], t[3], t[4])),
                each("embedding.forward", 3, t -> EmbeddingOps.forward(stream, ints(t[0]), t[1], t[2])),
                each("embedding.backward", 3, t -> EmbeddingOps.backward(stream, ints(t[0]), t[1], t[2])),
                each("loss.linear_cross_entropy", 6, t -> LossOps.linearCrossEntropy(stream, t[0], LinearWeight.dense(t[1], row(t[2])),
                        ints(t[3]), 1, row(t[4]), t[5])),
                each("optim.global_norm", 5, t -> OptimOps.globalNorm(stream, parameters(t, 1), 1, row(t[4]).columns(0, 2))),
                each("optim.adamw_step", 1, t -> OptimOps.adamwStep(stream, STEP, step(t[0]))),
                each("optim.adamw", 6, t -> OptimOps.adamw(stream, new AdamwOptions(0.1f, 0.9f, 0.99f, 1e-8f, 0, 1, step(t[5])),
                        parameters(t, 1), row(t[4]).columns(0, 1))),
                each("optim.adamw, 8-bit", 5, t -> OptimOps.adamw(stream, STEP, new AdamwParameters(List.of(
                        new AdamwParameters.Parameter(t[0], t[1], bytes(t[2]), bytes(t[3]), row(t[4]).columns(0, SIZE / 2)))), null)),
                some("optim.global_norm, many", 4 * PARAMETERS + 1, new int[] {0, 1, 2, 38, 39, 40},
                        t -> OptimOps.globalNorm(stream, parameters(t, PARAMETERS), 1, row(t[4 * PARAMETERS]).columns(0, 2))),
                some("optim.adamw, many", 4 * PARAMETERS, new int[] {0, 1, 20, 38, 39},
                        t -> OptimOps.adamw(stream, STEP, parameters(t, PARAMETERS), null)))
                .flatMap(Function.identity());
    }

    private static Stream<Arguments> each(String name, int count, Operation operation) {
        return some(name, count, IntStream.range(0, count).toArray(), operation);
    }

    private static Stream<Arguments> some(String name, int count, int[] closed, Operation operation) {
        return Arrays.stream(closed).mapToObj(i -> Arguments.of(name, count, i, operation));
    }

    private static Tensor row(Tensor tensor) {
        return tensor.rows(0, 1);
    }

    private static Tensor half(Tensor tensor) {
        return tensor.columns(0, SIZE / 2);
    }

    private static Tensor ints(Tensor tensor) {
        return Tensor.ofHost(tensor.segment(), DType.I32, 1, SIZE);
    }

    private static Tensor bytes(Tensor tensor) {
        return Tensor.ofHost(tensor.segment(), DType.U8, SIZE, SIZE);
    }

    private static LoraWeights lora(Tensor a, Tensor b) {
        return new LoraWeights(a.rows(0, RANK), b.columns(0, RANK), 1);
    }

    private static LoraWeights dropout(Tensor a, Tensor b, Tensor seed) {
        return new LoraWeights(a.rows(0, RANK), b.columns(0, RANK), 1, false, 0.1f, 0, Tensor.ofHost(seed.segment(), DType.I64, 1, 1));
    }

    private static Tensor step(Tensor tensor) {
        return Tensor.ofHost(tensor.segment(), DType.U8, 1, AdamwOptions.STEP_BYTES);
    }

    private static AdamwParameters parameters(Tensor[] t, int count) {
        return new AdamwParameters(IntStream.range(0, count).map(i -> 4 * i)
                .mapToObj(i -> new AdamwParameters.Parameter(t[i], t[i + 1], t[i + 2], t[i + 3], null)).toList());
    }

    /// Each allocation is the begin of the next tensor.
    private static SegmentAllocator in(Tensor[] t) {
        int[] next = {0};
        return (bytes, alignment) -> t[next[0]++].segment().asSlice(0, bytes);
    }

    @BeforeAll
    static void open() {
        device = Device.open(Backend.REFERENCE);
        stream = device.newStream(1 << 20);
        plain = Nf4Weight.allocate(device, SIZE, SIZE, 64, false);
        nested = Nf4Weight.allocate(device, SIZE, SIZE, 64, true);
        try (Tensor zero = Tensor.allocate(device, DType.F32, SIZE, SIZE)) {
            MemoryOps.fill(stream, 0, zero);
            Nf4Ops.quantize(stream, zero, plain);
            Nf4Ops.quantize(stream, zero, nested);
        }
    }

    @AfterAll
    static void close() {
        nested.close();
        plain.close();
        stream.close();
        device.close();
    }

    @ParameterizedTest(name = "{0}, tensor {2}")
    @MethodSource("tensors")
    void eitherTheCallerOrTheCloserIsRefused(String name, int count, int closed, Operation operation) throws Exception {
        Tensor[] tensors = new Tensor[count];
        Arrays.setAll(tensors, i -> tensor(Arena.ofAuto().allocate(BYTES, 64)));
        Path file = Files.write(folder.resolve("tensor"), new byte[(int) BYTES]);
        int refusedClosings = 0;
        for (int round = 0; round < ROUNDS || refusedClosings == 0 && round < MOST_ROUNDS; round++) {
            Arena arena = Arena.ofShared();
            tensors[closed] = tensor(map(file, arena));
            ArenaCloser closer = new ArenaCloser(arena);
            operation.run(tensors);
            closer.begin();
            String refusal = null;
            while (refusal == null) {
                if (closer.refusals() > 0) { // without a break between two calls it could take long
                    closer.join();
                }
                refusal = refusal(operation, tensors);
            }
            assertTrue(refusal.contains("closed"), refusal);
            closer.join();
            refusedClosings += closer.refusals();
        }
        assertTrue(refusedClosings > 0, "the arena was never found in use");
    }

    private static String refusal(Operation operation, Tensor[] tensors) {
        try {
            operation.run(tensors);
            return null;
        } catch (IllegalStateException e) {
            return e.getMessage();
        }
    }

    private static Tensor tensor(MemorySegment segment) {
        return Tensor.ofHost(segment, DType.F32, SIZE, SIZE);
    }

    private static MemorySegment map(Path file, Arena arena) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            return channel.map(FileChannel.MapMode.READ_WRITE, 0, BYTES, arena);
        }
    }
}
