package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntSupplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What a function sees of the arenas that are kept open for it. Another thread tries to close them, to find out whether they are.
class OpenArenasTest {
    private final OpenArenas open = new OpenArenas();
    private final List<Arena> arenas = new ArrayList<>();

    private Arena add() {
        Arena arena = Arena.ofShared();
        arenas.add(arena);
        open.add(arena.allocate(8));
        return arena;
    }

    @AfterEach
    void close() {
        arenas.stream().filter(arena -> arena.scope().isAlive()).forEach(Arena::close); // refused where a call did not let go of one
    }

    /// Whether another thread cannot close `arena` now; if it can, it has.
    private static boolean isKeptOpen(Arena arena) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                arena.close();
                return false;
            } catch (IllegalStateException e) {
                return true;
            }
        }).join();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5, OpenArenas.MOST_ON_ANY_STACK, OpenArenas.MOST_ON_ANY_STACK + 1, 2000})
    void eachStaysOpenUntilTheFunctionReturns(int count) {
        IntStream.range(0, count).forEach(_ -> add());
        int[] calls = {0};
        assertEquals(7, open.during(() -> {
            calls[0]++;
            arenas.forEach(arena -> assertTrue(isKeptOpen(arena)));
            return 7;
        }));
        assertEquals(1, calls[0]);
        arenas.forEach(arena -> assertFalse(isKeptOpen(arena)));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 5, OpenArenas.MOST_ON_ANY_STACK + 1})
    void whatTheFunctionThrowsComesOut(int count) {
        IntStream.range(0, count).forEach(_ -> add());
        for (Throwable thrown : List.of(new IllegalArgumentException("no"), new AssertionError("none"))) {
            assertSame(thrown, assertThrows(thrown.getClass(), () -> open.during(() -> {
                if (thrown instanceof RuntimeException e) {
                    throw e;
                }
                throw (Error) thrown;
            })));
        }
        assertEquals(1, open.during(() -> 1));
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "5, 0", "5, 1", "5, 2", "5, 3", "5, 4", "100, 0", "100, 99"})
    void theFunctionIsNotCalledWhereOneIsClosed(int count, int closed) {
        IntStream.range(0, count).forEach(_ -> add());
        arenas.get(closed).close();
        String refusal = assertThrows(IllegalStateException.class, () -> open.during(() -> {
            throw new AssertionError("called");
        })).getMessage();
        assertTrue(refusal.contains("closed"), refusal);
    }

    @ParameterizedTest
    @CsvSource({"1, false", "1, true", "129, false", "129, true"})
    void theFunctionRunsOnTheThreadOfItsCaller(int count, boolean virtual) throws InterruptedException {
        IntStream.range(0, count).forEach(_ -> add());
        List<Thread> ran = new ArrayList<>();
        Runnable call = () -> open.during(() -> ran.add(Thread.currentThread()) ? 1 : 0);
        Thread caller = virtual ? Thread.ofVirtual().start(call) : Thread.ofPlatform().start(call);
        caller.join();
        assertEquals(List.of(caller), ran);
    }

    /// Whether a function is called from within others its stack shows.
    @Test
    void whatNoOtherThreadCanCloseNeedsNothing() {
        try (Arena confined = Arena.ofConfined()) {
            open.add(confined.allocate(8));
            assertEquals(0, open.during(OpenArenasTest::comparisonsOnTheStack));
        }
        Arena shared = add();
        open.add(shared.allocate(8));
        assertEquals(1, open.during(OpenArenasTest::comparisonsOnTheStack));
        IntStream.range(0, 4).forEach(_ -> add());
        open.add(shared.allocate(8));
        assertEquals(3, open.during(OpenArenasTest::comparisonsOnTheStack));
    }

    private static int comparisonsOnTheStack() {
        return (int) Arrays.stream(new Throwable().getStackTrace()).filter(frame -> frame.getMethodName().equals("compare")).count();
    }

    @Test
    void aCallInsideACallHasItsOwn() {
        IntStream.range(0, 5).forEach(_ -> add());
        OpenArenas others = new OpenArenas();
        try (Arena other = Arena.ofShared()) {
            others.add(other.allocate(8));
            IntSupplier inner = () -> {
                assertTrue(isKeptOpen(other));
                return 10;
            };
            assertEquals(21, open.during(() -> {
                int sum = others.during(inner) + others.during(inner);
                arenas.forEach(arena -> assertTrue(isKeptOpen(arena)));
                return sum + 1;
            }));
        }
    }

    @Test
    void clearedItKeepsNothingOpen() {
        Arena arena = add();
        open.clear();
        assertEquals(0, open.during(() -> isKeptOpen(arena) ? 1 : 0));
    }
}
