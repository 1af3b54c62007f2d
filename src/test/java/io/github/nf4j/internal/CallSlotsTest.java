package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// What a call in progress keeps open, in each state that a closer can find it in.
class CallSlotsTest {
    private final List<Handle> handles = new ArrayList<>();
    private final Handle stream = handle("stream");
    private final CallSlots slots = new CallSlots(stream);
    private final Handle thing = handle("thing");

    private Handle handle(String what) {
        Handle made = new Handle(this, what, MemorySegment.NULL);
        handles.add(made);
        return made;
    }

    @AfterEach
    void close() {
        slots.remove();
        handles.forEach(Handle::close);
    }

    private static String refused(Executable action) {
        return assertThrows(IllegalStateException.class, action).getMessage();
    }

    private void begin(Handle... used) {
        slots.begin();
        for (Handle handle : used) {
            slots.add(handle);
        }
        slots.run();
    }

    /// A thread that closes a handle while a call gathers, and so waits.
    private final class WaitingCloser {
        private final CompletableFuture<Boolean> closed = new CompletableFuture<>();

        WaitingCloser(Handle handle) {
            Thread thread = Thread.ofPlatform().daemon().start(() -> {
                try {
                    closed.complete(handle.close());
                } catch (Throwable e) {
                    closed.completeExceptionally(e);
                }
            });
            while (Arrays.stream(thread.getStackTrace()).noneMatch(frame -> frame.getMethodName().equals("count"))) {
                assertTrue(thread.isAlive(), "it did not wait");
            }
        }

        boolean closes() {
            return closed.join();
        }

        String refusal() {
            return assertThrows(ExecutionException.class, closed::get).getCause().getMessage();
        }
    }

    @Test
    void whatACallUsesIsClosedAfterIt() {
        begin(thing);
        assertTrue(refused(thing::close).startsWith("thing cannot be closed: it is in use 1 time;"));
        assertTrue(refused(stream::close).startsWith("stream cannot be closed: it is in use 1 time;"));
        assertFalse(thing.isClosed());
        slots.end();
        assertTrue(thing.close());
        assertTrue(stream.close());
    }

    @Test
    void usesAreCountedOverAllStreams() {
        CallSlots other = new CallSlots(handle("other stream"));
        begin(thing, thing);
        other.begin();
        other.add(thing);
        other.run();
        assertTrue(refused(thing::close).contains("in use 3 times"));
        other.end();
        other.remove();
        assertTrue(refused(thing::close).contains("in use 2 times"));
        slots.end();
        assertTrue(thing.close());
    }

    @Test
    void aCallIsAlone() {
        begin();
        assertTrue(refused(slots::begin).contains("in use by another thread"));
        slots.end();
        slots.begin();
        assertTrue(refused(slots::begin).contains("in use by another thread"));
        slots.end();
        begin();
    }

    @Test
    void aClosedStreamHasNoCalls() {
        stream.close();
        assertEquals("stream is closed", refused(slots::begin));
        assertEquals("stream is closed", refused(slots::begin)); // the first has ended
    }

    @Test
    void aCallThatIsRefusedSomethingLetsGoOfTheRest() {
        Handle closed = handle("closed");
        closed.close();
        slots.begin();
        slots.add(thing);
        assertEquals("closed is closed", refused(() -> slots.add(closed)));
        slots.end();
        assertTrue(thing.close());
        begin();
    }

    @Test
    void whatOlderCallsUsedDoesNotCount() {
        Handle other = handle("other");
        begin(other, thing);
        slots.end();
        begin(other);
        assertTrue(thing.close());
    }

    @Test
    void aCallMayUseManyThings() {
        List<Handle> many = IntStream.range(0, 100).mapToObj(i -> handle("thing " + i)).toList();
        begin(many.toArray(Handle[]::new));
        for (Handle one : many) {
            assertTrue(refused(one::close).contains("in use 1 time"));
        }
        slots.end();
        begin(thing);
        for (Handle one : many) {
            assertTrue(one.close());
        }
    }

    @Test
    void nothingIsAddedOnceTheFunctionRuns() {
        begin();
        assertThrows(AssertionError.class, () -> slots.add(thing));
        slots.end();
        assertThrows(AssertionError.class, () -> slots.add(thing));
    }

    @Test
    void whoClosesWaitsForACallThatGathers() {
        slots.begin();
        slots.add(thing);
        WaitingCloser closer = new WaitingCloser(thing);
        slots.run();
        assertTrue(closer.refusal().contains("in use 1 time"));
        slots.end();
        assertTrue(thing.close());
    }

    @Test
    void whatTheCallDoesNotUseIsClosed() {
        Handle other = handle("other");
        slots.begin();
        slots.add(other);
        WaitingCloser closer = new WaitingCloser(thing);
        slots.run();
        assertTrue(closer.closes());
    }

    @Test
    void aCallThatFailsWhileItGathersIsNotInTheWay() {
        slots.begin();
        slots.add(thing);
        WaitingCloser closer = new WaitingCloser(thing);
        slots.end();
        assertTrue(closer.closes());
    }

    /// It is not refused for a closing that itself is refused.
    @Test
    void aCallMayUseWhatSomebodyIsAboutToClose() {
        slots.begin();
        WaitingCloser closer = new WaitingCloser(thing);
        slots.add(thing);
        slots.run();
        assertTrue(closer.refusal().contains("in use 1 time"));
        slots.end();
        assertTrue(thing.close());
    }

    /// The closer has passed the first stream and waits for the second one, when a call begins on the first.
    @Test
    void aCallThatTheCloserHasPassedObjects() {
        CallSlots second = new CallSlots(handle("second stream"));
        second.begin();
        WaitingCloser closer = new WaitingCloser(thing);
        begin(thing);
        second.end();
        second.remove();
        assertTrue(closer.refusal().contains("in use 1 time"));
        slots.end();
        assertTrue(thing.close());
    }

    @Test
    void soDoesWhateverLasts() {
        slots.begin();
        WaitingCloser closer = new WaitingCloser(thing);
        thing.acquire();
        slots.end();
        assertTrue(closer.refusal().contains("in use 1 time"));
        thing.release();
        assertTrue(thing.close());
    }

    @Test
    void ofTwoClosersOneCloses() {
        slots.begin();
        WaitingCloser closer = new WaitingCloser(thing);
        CompletableFuture<Boolean> second = CompletableFuture.supplyAsync(thing::close);
        slots.end();
        assertTrue(closer.closes());
        assertFalse(second.join());
    }

    @Test
    void aStreamThatIsRemovedIsNotLookedAt() {
        begin(thing);
        slots.remove();
        assertTrue(thing.close());
    }
}
