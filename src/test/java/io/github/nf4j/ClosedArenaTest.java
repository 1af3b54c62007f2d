package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.MlpOps;
import io.github.nf4j.op.Nf4Ops;
import io.github.nf4j.op.NormOps;
import io.github.nf4j.op.RopeOps;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Another thread closes the shared arena of a call's tensors: one of the two gets an exception. The arena maps a file, so that memory
/// which is gone would end the JVM.
class ClosedArenaTest {
    private static final int ROUNDS = 25;
    private static final int SIZE = 96;
    private static final long TENSOR_BYTES = SIZE * SIZE * Float.BYTES;

    private record Family(io.github.nf4j.Stream stream, Nf4Weight weight, Tensor[] t) {
    }

    static Stream<Arguments> families() {
        return Stream.of(
                family("memory", (f, t) -> MemoryOps.add(f.stream, t[0], t[1], t[2])),
                family("dense", (f, t) -> DenseOps.matmul(f.stream, false, true, 1, 0, t[0], t[1], null, t[2])),
                family("nf4 quantize", (f, t) -> Nf4Ops.quantize(f.stream, t[0], f.weight)),
                family("nf4 matmul", (f, t) -> Nf4Ops.matmul(f.stream, t[0], f.weight, null, t[1])),
                family("norm", (f, t) -> NormOps.forward(f.stream, t[0], t[1].rows(0, 1), 1e-5f, t[2].rows(0, 1), t[3])),
                family("rope", (f, t) -> RopeOps.forward(f.stream, t[0], t[1], t[2])),
                family("mlp", (f, t) -> MlpOps.swigluForward(f.stream, t[0], t[1], t[2])));
    }

    private static Arguments family(String name, BiConsumer<Family, Tensor[]> operation) {
        return Arguments.of(name, operation);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("families")
    void eitherTheCallerOrTheCloserIsRefused(String name, BiConsumer<Family, Tensor[]> operation, @TempDir Path folder) throws Exception {
        int calls = 0;
        try (Device device = Device.open(Backend.CPU);
                io.github.nf4j.Stream stream = device.newStream(1 << 20);
                Nf4Weight weight = Nf4Weight.allocate(device, SIZE, SIZE, 64, false);
                Tensor zero = Tensor.allocate(device, DType.F32, SIZE, SIZE)) {
            MemoryOps.fill(stream, 0, zero);
            Nf4Ops.quantize(stream, zero, weight);
            for (int round = 0; round < ROUNDS; round++) {
                Arena arena = Arena.ofShared();
                Tensor[] tensors = mapped(folder.resolve("tensors"), arena, 4);
                CountDownLatch begun = new CountDownLatch(1);
                AtomicReference<Throwable> unexpected = new AtomicReference<>();
                Thread closer = new Thread(() -> close(arena, begun, unexpected));
                closer.start();
                String refusal = null;
                while (refusal == null) {
                    try {
                        operation.accept(new Family(stream, weight, tensors), tensors);
                        calls++;
                        begun.countDown();
                    } catch (IllegalStateException e) {
                        refusal = e.getMessage();
                    }
                }
                begun.countDown();
                closer.join();
                assertNull(unexpected.get());
                assertTrue(refusal.contains("closed"), refusal);
            }
        }
        assertTrue(calls >= ROUNDS, calls + " calls came to their end");
    }

    private static void close(Arena arena, CountDownLatch begun, AtomicReference<Throwable> unexpected) {
        try {
            begun.await();
            while (arena.scope().isAlive()) {
                try {
                    arena.close();
                } catch (IllegalStateException inUse) {
                    Thread.onSpinWait();
                }
            }
        } catch (Throwable e) {
            unexpected.set(e);
        }
    }

    private static Tensor[] mapped(Path file, Arena arena, int count) throws IOException {
        Files.write(file, new byte[(int) (count * TENSOR_BYTES)]);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MemorySegment all = channel.map(FileChannel.MapMode.READ_WRITE, 0, count * TENSOR_BYTES, arena);
            Tensor[] tensors = new Tensor[count];
            for (int i = 0; i < count; i++) {
                tensors[i] = Tensor.ofHost(all.asSlice(i * TENSOR_BYTES, TENSOR_BYTES), DType.F32, SIZE, SIZE);
            }
            return tensors;
        }
    }
}
