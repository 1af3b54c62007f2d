package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// Closing and using devices, streams and memory in every wrong order.
class LifetimeTest {
    private static final Backend BACKEND = Backend.REFERENCE;

    private static String refused(Executable action) {
        return assertThrows(IllegalStateException.class, action).getMessage();
    }

    /// What is closed twice gives its hold on the device back once: the device counts those that are left.
    @Test
    void closingTwiceDoesNothing() throws Exception {
        Device device = Device.open(BACKEND);
        Memory left = Memory.allocate(device, 10);
        List<AutoCloseable> made = List.of(Nf4Weight.allocate(device, 8, 64, 64, true), Tensor.allocate(device, DType.F32, 2, 3),
                Memory.allocate(device, 100), device.newStream());
        for (int i = made.size(); i > 0; i--) {
            String inUse = refused(device::close);
            assertTrue(inUse.contains("in use " + (i + 1) + " times"), inUse);
            made.get(i - 1).close();
            made.get(i - 1).close();
        }
        String inUse = refused(device::close);
        assertTrue(inUse.contains("in use 1 time;"), inUse);
        left.close();
        device.close();
        device.close();
        assertEquals("device reference is closed", refused(device::info));
    }

    @Test
    void nothingIsUsedOnceClosed() {
        try (Device device = Device.open(BACKEND); Stream stream = device.newStream();
                Tensor kept = Tensor.allocate(device, DType.F32, 2, 3)) {
            Tensor closed = Tensor.allocate(device, DType.F32, 2, 3);
            Tensor view = closed.rows(0, 2);
            closed.close();
            assertEquals("memory of 24 bytes on device reference is closed",
                    refused(() -> MemoryOps.fill(stream, 1, closed)));
            refused(() -> MemoryOps.copy(stream, kept, view));
            refused(() -> view.getFloat(0, 0));
            Nf4Weight weight = Nf4Weight.quantize(stream, filled(stream, kept), 32, false);
            weight.close();
            refused(() -> Nf4Ops.dequantize(stream, weight, 0, kept));
            Stream closedStream = device.newStream();
            closedStream.close();
            assertEquals("stream of device reference is closed", refused(closedStream::synchronize));
            refused(() -> MemoryOps.fill(closedStream, 1, kept));
            MemoryOps.fill(stream, 2, kept); // what failed let go of everything else
            assertEquals(2, kept.getFloat(1, 2));
        }
    }

    private static Tensor filled(Stream stream, Tensor tensor) {
        MemoryOps.fill(stream, 1, tensor);
        return tensor;
    }

    @Test
    void aDeviceOutlivesWhatWasMadeFromIt() {
        Device device = Device.open(BACKEND);
        Stream stream = device.newStream();
        Tensor tensor = Tensor.allocate(device, DType.F32, 2, 3);
        String message = refused(device::close);
        assertTrue(message.startsWith("device reference cannot be closed: it is in use 2 times; first close"), message);
        MemoryOps.fill(stream, 1, tensor);
        stream.close();
        refused(device::close);
        tensor.close();
        device.close();
        assertEquals("device reference is closed", refused(device::info));
        refused(device::newStream);
        refused(() -> Tensor.allocate(device, DType.F32, 2, 3));
        refused(() -> Nf4Weight.bytes(device, 2, 64, 64, false));
    }

    @Test
    void closingAViewLeavesTheMemoryAlone() {
        try (Device device = Device.open(BACKEND); Memory memory = Memory.allocate(device, 64)) {
            Tensor tensor = Tensor.of(memory, 16, DType.F32, 3, 4);
            tensor.close();
            tensor.rows(1, 1).close();
            tensor.copyFrom(new float[12]);
            assertThrows(IllegalArgumentException.class, () -> Tensor.of(memory, 20, DType.F32, 3, 4));
            assertThrows(IllegalArgumentException.class, () -> Tensor.of(memory, 2, DType.F32, 1, 1));
            assertThrows(IllegalArgumentException.class, () -> Tensor.of(memory, -4, DType.F32, 1, 1));
        }
    }

    @Test
    void nothingIsClosedUnderARunningCall() throws Exception {
        int n = 500; // long enough in the reference backend for the other thread to come in between
        try (Device device = Device.open(BACKEND); Stream stream = device.newStream();
                Stream other = device.newStream()) {
            Tensor a = filled(other, Tensor.allocate(device, DType.F32, n, n));
            Tensor c = Tensor.allocate(device, DType.F32, n, n);
            boolean seen = false;
            for (int attempt = 0; attempt < 20 && !seen; attempt++) {
                CompletableFuture<Void> call = CompletableFuture.runAsync(
                        () -> DenseOps.matmul(stream, false, true, 1, 0, a, a, null, c));
                Thread.sleep(20);
                try {
                    stream.synchronize();
                } catch (IllegalStateException inUse) {
                    seen = true;
                    assertTrue(inUse.getMessage().contains("give each thread a stream of its own"), inUse.getMessage());
                    String message = refused(a::close);
                    assertTrue(message.contains("cannot be closed: it is in use 2 times"), message);
                    refused(stream::close);
                }
                call.handle((result, failure) -> failure).get(); // it fails if synchronize came first; then once more
            }
            assertTrue(seen, "the call was never seen running");
            assertEquals(n, c.getFloat(n - 1, 0));
            a.close();
            c.close();
        }
    }

    @Test
    void hostMemoryMustBeOpenAndReachable() throws Exception {
        try (Device device = Device.open(BACKEND); Stream stream = device.newStream()) {
            Arena arena = Arena.ofConfined();
            Tensor tensor = Tensor.ofHost(arena.allocate(ValueLayout.JAVA_FLOAT, 6), DType.F32, 1, 6);
            String confined = CompletableFuture.supplyAsync(() -> refused(() -> MemoryOps.fill(stream, 1, tensor)))
                    .get();
            assertTrue(confined.contains("confined to another thread"), confined);
            arena.close();
            String closed = refused(() -> MemoryOps.fill(stream, 1, tensor));
            assertTrue(closed.contains("arena that is closed"), closed);
        }
    }

    @Test
    void readOnlyMemoryIsNoOutput() throws Exception {
        Path file = Files.createTempFile("nf4j", ".bin");
        try (Device device = Device.open(BACKEND); Stream stream = device.newStream();
                Arena arena = Arena.ofConfined()) {
            Files.write(file, new byte[24]);
            MemorySegment mapped;
            try (FileChannel channel = FileChannel.open(file)) {
                mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, 24, arena);
            }
            Tensor constant = Tensor.ofHost(mapped, DType.F32, 2, 3);
            Tensor copy = Tensor.ofHost(arena.allocate(24, 4), DType.F32, 2, 3);
            MemoryOps.copy(stream, constant, copy);
            String message = assertThrows(IllegalArgumentException.class,
                    () -> MemoryOps.copy(stream, copy, constant)).getMessage();
            assertTrue(message.contains("read-only"), message);
        } finally {
            Files.delete(file);
        }
    }

    /// Backends order the codes differently: a foreign weight would give numbers that are merely wrong.
    @Test
    void aWeightIsReadByItsOwnBackendAlone() {
        try (Device reference = Device.open(Backend.REFERENCE); Stream slow = reference.newStream();
                Device cpu = Device.open(Backend.CPU); Stream fast = cpu.newStream();
                Device other = Device.open(Backend.CPU); Stream otherFast = other.newStream();
                Tensor w = Tensor.allocate(reference, DType.F32, 3, 64);
                Tensor out = Tensor.allocate(reference, DType.F32, 3, 64);
                Nf4Weight weight = Nf4Weight.quantize(fast, filled(slow, w), 64, false)) {
            String message = assertThrows(IllegalArgumentException.class,
                    () -> Nf4Ops.dequantize(slow, weight, 0, out)).getMessage();
            assertTrue(message.contains("layout of device cpu") && message.contains("stream of device reference"), message);
            Nf4Ops.dequantize(otherFast, weight, 0, out);
            assertEquals(1, out.getFloat(2, 63));
        }
    }
}
