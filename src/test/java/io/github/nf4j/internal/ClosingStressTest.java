package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
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

/// Threads that call and threads that close what the calls use, again and again: nothing is in use when it is freed.
class ClosingStressTest {
    private static final int CALLERS = 3;
    private static final int CLOSERS = 2;
    private static final int THINGS = 5;
    /// Of each closer, at the least.
    private static final int CLOSINGS = 5_000;

    /// What a closer frees once it has closed it.
    private static final class Thing {
        final Handle handle = new Handle(this, "thing", MemorySegment.NULL);
        volatile boolean freed;
    }

    private final AtomicReferenceArray<Thing> things = new AtomicReferenceArray<>(THINGS);
    private final AtomicInteger refusedClosings = new AtomicInteger();
    private volatile boolean over;

    private void call(int seed) {
        RandomGenerator random = new SplittableRandom(seed);
        Handle stream = new Handle(this, "stream " + seed, MemorySegment.NULL);
        CallSlots slots = new CallSlots(stream);
        List<Thing> used = new ArrayList<>();
        while (!over) {
            used.clear();
            slots.begin();
            try {
                for (int i = random.nextInt(1, 4); i > 0; i--) {
                    Thing thing = things.get(random.nextInt(THINGS));
                    slots.add(thing.handle);
                    used.add(thing);
                }
                slots.run();
                for (int i = random.nextInt(100); i > 0; i--) { // the function runs
                    Thread.onSpinWait();
                }
                for (Thing thing : used) {
                    assertFalse(thing.freed, "freed under a call");
                }
            } catch (IllegalStateException closed) {
                assertEquals("thing is closed", closed.getMessage());
            } finally {
                slots.end();
            }
        }
        assertTrue(stream.close());
        slots.remove();
    }

    /// Until some closings have met calls.
    private void close(int seed) {
        RandomGenerator random = new SplittableRandom(seed);
        for (int closed = 0; closed < CLOSINGS || refusedClosings.get() == 0;) {
            int index = random.nextInt(THINGS);
            Thing thing = things.get(index);
            try {
                if (thing.handle.close()) {
                    thing.freed = true;
                    things.set(index, new Thing());
                    closed++;
                }
            } catch (IllegalStateException inUse) {
                assertTrue(inUse.getMessage().contains("in use"), inUse.getMessage());
                refusedClosings.incrementAndGet();
            }
        }
    }

    @Test
    void nothingIsFreedUnderACall() throws Exception {
        for (int i = 0; i < THINGS; i++) {
            things.set(i, new Thing());
        }
        try (ExecutorService threads = Executors.newFixedThreadPool(CALLERS + CLOSERS)) {
            List<Future<?>> callers = new ArrayList<>();
            List<Future<?>> closers = new ArrayList<>();
            for (int i = 0; i < CALLERS + CLOSERS; i++) {
                int seed = i;
                if (i < CALLERS) {
                    callers.add(threads.submit(() -> call(seed)));
                } else {
                    closers.add(threads.submit(() -> close(seed)));
                }
            }
            for (Future<?> closer : closers) {
                closer.get();
            }
            over = true;
            for (Future<?> caller : callers) {
                caller.get();
            }
        } finally {
            over = true;
        }
        for (int i = 0; i < THINGS; i++) {
            assertTrue(things.get(i).handle.close());
        }
    }
}
