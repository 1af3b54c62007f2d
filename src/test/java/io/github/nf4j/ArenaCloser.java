package io.github.nf4j;

import java.lang.foreign.Arena;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicInteger;

/// Another thread that closes an arena from [#begin] on: it tries until the arena is in nobody's use.
public final class ArenaCloser {
    private final CountDownLatch begun = new CountDownLatch(1);
    private final AtomicInteger refusals = new AtomicInteger();
    private final FutureTask<Void> task;

    public ArenaCloser(Arena arena) {
        task = new FutureTask<>(() -> {
            begun.await();
            while (arena.scope().isAlive()) {
                try {
                    arena.close();
                } catch (IllegalStateException inUse) {
                    refusals.incrementAndGet();
                }
            }
            return null;
        });
        Thread.ofPlatform().daemon().start(task);
    }

    public void begin() {
        begun.countDown();
    }

    /// How often the arena was found in use until now.
    public int refusals() {
        return refusals.get();
    }

    /// Waits until the arena is closed.
    public void join() throws InterruptedException, ExecutionException {
        task.get();
    }
}
