package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

/// Threads whose calls read memory and weights that other threads close. Whoever closes makes the same again with another number in it, most
/// often at the same address: a call that reads on would see it.
class FreedMemoryTest {
    private static final int CALLERS = 3;
    private static final int CLOSERS = 2;
    private static final int THINGS = 4;
    private static final int CLOSINGS = 200;
    private static final int SIZE = 64;

    /// Memory that a tensor views, or a weight, full of one number.
    private record Thing(int number, AutoCloseable owner, Tensor view, Nf4Weight weight) {
        /// Every element of `y` becomes twice the number.
        void call(Stream stream, Tensor y) {
            if (weight == null) {
                MemoryOps.add(stream, view, view, y);
            } else {
                Nf4Ops.dequantize(stream, weight, 0, y);
                MemoryOps.add(stream, y, y, y);
            }
        }
    }

    private final AtomicReferenceArray<Thing> things = new AtomicReferenceArray<>(THINGS);
    private final AtomicInteger numbers = new AtomicInteger();
    private final AtomicInteger refusedCalls = new AtomicInteger();
    private final AtomicInteger refusedClosings = new AtomicInteger();
    private volatile boolean over;

    /// Those with an even index are weights.
    private Thing make(Stream stream, int index) {
        int number = numbers.incrementAndGet();
        Tensor tensor = Tensor.allocate(stream.device(), DType.F32, SIZE, SIZE);
        MemoryOps.fill(stream, number, tensor);
        if (index % 2 != 0) {
            return new Thing(number, tensor, tensor.rows(0, SIZE), null);
        }
        try (tensor) {
            Nf4Weight weight = Nf4Weight.quantize(stream, tensor, SIZE, false);
            return new Thing(number, weight, null, weight);
        }
    }

    private void callOnAndOn(Device device, int seed) {
        RandomGenerator random = new SplittableRandom(seed);
        try (Stream stream = device.newStream(1 << 20); Tensor y = Tensor.allocate(device, DType.F32, SIZE, SIZE)) {
            while (!over) {
                Thing thing = things.get(random.nextInt(THINGS));
                try {
                    thing.call(stream, y);
                } catch (IllegalStateException closed) {
                    assertTrue(closed.getMessage().endsWith("is closed"), closed.getMessage());
                    refusedCalls.incrementAndGet();
                    continue;
                }
                for (float element : y.toFloatArray()) {
                    assertEquals(2 * thing.number(), element);
                }
            }
        }
    }

    /// Until calls and closings have met in both ways.
    private void closeOnAndOn(Device device, int seed) throws Exception {
        RandomGenerator random = new SplittableRandom(seed);
        try (Stream stream = device.newStream(1 << 20)) {
            for (int closings = 0; closings < CLOSINGS || refusedCalls.get() == 0 || refusedClosings.get() == 0; closings++) {
                int index = random.nextInt(THINGS / CLOSERS) * CLOSERS + seed % CLOSERS; // each closer has its own
                try {
                    things.get(index).owner().close();
                    things.set(index, make(stream, index));
                } catch (IllegalStateException inUse) {
                    assertTrue(inUse.getMessage().contains("in use"), inUse.getMessage());
                    refusedClosings.incrementAndGet();
                }
            }
        }
    }

    @Test
    void noCallReadsWhatIsFreed() throws Exception {
        try (Device device = Device.open(DeviceOptions.of(Backend.CPU).withThreads(1)); Stream stream = device.newStream(1 << 20)) {
            for (int i = 0; i < THINGS; i++) {
                things.set(i, make(stream, i));
            }
            try (ExecutorService threads = Executors.newFixedThreadPool(CALLERS + CLOSERS)) {
                List<Future<?>> callers = new ArrayList<>();
                List<Future<?>> closers = new ArrayList<>();
                for (int i = 0; i < CALLERS + CLOSERS; i++) {
                    int seed = i;
                    if (i < CLOSERS) {
                        closers.add(threads.submit(() -> {
                            closeOnAndOn(device, seed);
                            return null;
                        }));
                    } else {
                        callers.add(threads.submit(() -> callOnAndOn(device, seed)));
                    }
                }
                try {
                    for (Future<?> closer : closers) {
                        closer.get();
                    }
                } finally {
                    over = true;
                }
                for (Future<?> caller : callers) {
                    caller.get();
                }
            }
            for (int i = 0; i < THINGS; i++) {
                things.get(i).owner().close();
            }
        }
    }
}
