package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.Nf4Ops;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Many threads at once get the bits that each gets alone.
class ConcurrencyTest {
    private static final int THREADS = 16;
    private static final int REPEATS = 5;
    private static final int TOKENS = 9;
    private static final int SIZE = 96;

    /// x · Wᵀ, quantized, and the result's product with itself: other numbers for each seed.
    private static float[] work(Stream stream, int seed) {
        Device device = stream.device();
        float[] values = new float[SIZE * SIZE];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i * 31 + seed * 17) % 23 / 7f - 1.5f;
        }
        try (Tensor w = Tensor.allocate(device, DType.F32, SIZE, SIZE);
                Tensor x = Tensor.allocate(device, DType.F32, TOKENS, SIZE);
                Tensor y = Tensor.allocate(device, DType.F32, TOKENS, SIZE);
                Tensor square = Tensor.allocate(device, DType.F32, TOKENS, TOKENS)) {
            w.copyFrom(values);
            x.copyFrom(Arrays.copyOf(values, TOKENS * SIZE));
            try (Nf4Weight weight = Nf4Weight.quantize(stream, w, 64, true)) {
                Nf4Ops.matmul(stream, x, weight, null, y);
                DenseOps.matmul(stream, false, true, 1, 0, y, y, null, square);
                return square.toFloatArray();
            }
        }
    }

    private static float[] alone(Backend backend, int seed) {
        try (Device device = Device.open(DeviceOptions.of(backend).withThreads(1)); Stream stream = device.newStream(1 << 20)) {
            return work(stream, seed);
        }
    }

    private interface Work {
        float[] with(int seed);
    }

    private static void everyThreadIsRight(ExecutorService threads, Backend backend, Work work) throws Exception {
        List<float[]> expected = new ArrayList<>();
        CountDownLatch start = new CountDownLatch(THREADS);
        List<Callable<Integer>> tasks = new ArrayList<>();
        for (int t = 0; t < THREADS; t++) {
            int seed = t;
            expected.add(alone(backend, seed));
            tasks.add(() -> {
                start.countDown();
                start.await();
                int right = 0;
                for (int i = 0; i < REPEATS; i++) {
                    right += Arrays.equals(expected.get(seed), work.with(seed)) ? 1 : 0;
                }
                return right;
            });
        }
        assertFalse(Arrays.equals(expected.get(0), expected.get(1)), "threads could take each other's results unnoticed");
        try (threads) {
            for (Future<Integer> result : threads.invokeAll(tasks)) {
                assertEquals(REPEATS, result.get());
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void privateDevices(Backend backend) throws Exception {
        everyThreadIsRight(Executors.newFixedThreadPool(THREADS), backend, seed -> {
            try (Device device = Device.open(DeviceOptions.of(backend).withThreads(2));
                    Stream stream = device.newStream(1 << 20)) {
                return work(stream, seed);
            }
        });
    }

    @ParameterizedTest
    @EnumSource(names = {"REFERENCE", "CPU"})
    void oneDevice(Backend backend) throws Exception {
        try (Device device = Device.open(DeviceOptions.of(backend).withThreads(3))) {
            everyThreadIsRight(Executors.newFixedThreadPool(THREADS), backend, seed -> {
                try (Stream stream = device.newStream(1 << 20)) {
                    return work(stream, seed);
                }
            });
        } // closes: nobody left anything open
    }

    @Test
    void virtualThreads() throws Exception {
        try (Device device = Device.open(DeviceOptions.of(Backend.CPU).withThreads(2))) {
            everyThreadIsRight(Executors.newVirtualThreadPerTaskExecutor(), Backend.CPU, seed -> {
                try (Stream stream = device.newStream(1 << 20)) {
                    return work(stream, seed);
                }
            });
        }
    }

    @Test
    void anInterruptedThreadFinishesItsCallAndStaysInterrupted() {
        float[] expected = alone(Backend.CPU, 3);
        try (Device device = Device.open(Backend.CPU); Stream stream = device.newStream(1 << 20)) {
            Thread.currentThread().interrupt();
            float[] result = work(stream, 3);
            assertTrue(Thread.interrupted(), "the interruption was swallowed");
            assertTrue(Arrays.equals(expected, result));
        }
    }
}
