package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class HandleTest {
    private final Handle handle = new Handle(this, "thing", MemorySegment.NULL);

    @Test
    void closesOnceAndSaysSo() {
        assertTrue(handle.close());
        assertFalse(handle.close());
        assertTrue(handle.isClosed());
    }

    @Test
    void refusesUseAfterClose() {
        handle.close();
        assertEquals("thing is closed", assertThrows(IllegalStateException.class, handle::acquire).getMessage());
        assertEquals("thing is closed", assertThrows(IllegalStateException.class, handle::checkUsable).getMessage());
    }

    @Test
    void staysOpenWhileItIsInUse() {
        handle.acquire();
        handle.acquire();
        String message = assertThrows(IllegalStateException.class, handle::close).getMessage();
        assertTrue(message.startsWith("thing cannot be closed: it is in use 2 times"), message);
        handle.release();
        assertThrows(IllegalStateException.class, handle::close);
        handle.release();
        assertTrue(handle.close());
    }

    @Test
    void exactlyOneOfManyThreadsCloses() throws Exception {
        AtomicInteger inside = new AtomicInteger();
        Callable<Boolean> user = () -> {
            for (int i = 0; i < 2000; i++) {
                try {
                    handle.acquire();
                } catch (IllegalStateException closed) {
                    return false;
                }
                inside.incrementAndGet();
                assertFalse(handle.isClosed(), "closed under a user");
                inside.decrementAndGet();
                handle.release();
            }
            return false;
        };
        Callable<Boolean> closer = () -> {
            while (true) {
                try {
                    return handle.close();
                } catch (IllegalStateException inUse) {
                    Thread.onSpinWait();
                }
            }
        };
        try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
            var results = threads.invokeAll(IntStream.range(0, 8).mapToObj(i -> i % 4 == 0 ? closer : user).toList());
            int closed = 0;
            for (Future<Boolean> result : results) {
                closed += result.get() ? 1 : 0;
            }
            assertEquals(1, closed);
        }
    }
}
