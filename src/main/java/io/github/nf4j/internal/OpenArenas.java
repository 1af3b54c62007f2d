package io.github.nf4j.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.IntSupplier;

/// Arenas of the caller's that are kept open while a C function finds pointers into them inside structs.
///
/// The linker keeps the arena of each pointer that a call passes open until the call returns; pointers inside structs it does not see.
/// So the function is called from within another one: `bsearch` takes two pointers, whose bytes it does not read, and a comparison,
/// which it calls once where there is one element. The comparison calls the function, or the next `bsearch` where there are more than
/// two arenas.
final class OpenArenas {
    /// `void *bsearch(const void *key, const void *base, size_t nmemb, size_t size, int (*compar)(const void *, const void *))`
    static final FunctionDescriptor BSEARCH = FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.ADDRESS,
            ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.ADDRESS);
    static final FunctionDescriptor COMPARISON = FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS);
    /// For more arenas there is a thread with a stack that is large enough: an overflow in a comparison would end the JVM.
    static final int MOST_ON_ANY_STACK = 64;
    private static final int SMALLEST_STACK = 1 << 18;
    /// For each arena. A `bsearch` for two of them takes up to 3 KiB, while its comparison is interpreted.
    private static final int STACK_BYTES = 4096;

    private static final Thread ANOTHER = Thread.ofPlatform().inheritInheritableThreadLocals(false).unstarted(() -> {});

    private final Map<MemorySegment.Scope, MemorySegment> segments = new LinkedHashMap<>(); // one of each arena

    /// Takes in the arena of `segment`. One that is confined to this thread needs nobody to keep it open: this thread is busy.
    void add(MemorySegment segment) {
        if (segment.isAccessibleBy(ANOTHER)) {
            segments.putIfAbsent(segment.scope(), segment);
        }
    }

    boolean isEmpty() {
        return segments.isEmpty();
    }

    void clear() {
        segments.clear();
    }

    /// The result of `function`, during which none of the arenas can be closed.
    ///
    /// @throws IllegalStateException if one of them is closed already
    int during(IntSupplier function) {
        return segments.size() <= MOST_ON_ANY_STACK ? descend(function) : whileAnotherThreadDescends(function);
    }

    private int descend(IntSupplier function) {
        return new Descent(segments.values().toArray(MemorySegment[]::new), function).run();
    }

    private int whileAnotherThreadDescends(IntSupplier function) {
        long stackBytes = SMALLEST_STACK + (long) STACK_BYTES * segments.size();
        CompletableFuture<Void> open = new CompletableFuture<>();
        CompletableFuture<Integer> result = new CompletableFuture<>();
        CompletableFuture<Integer> descent = CompletableFuture.supplyAsync(() -> descend(() -> {
            open.complete(null);
            return result.join();
        }), task -> new Thread(null, task, "nf4j arenas", stackBytes, false).start());
        try {
            CompletableFuture.anyOf(open, descent).join();
            result.complete(function.getAsInt());
        } catch (RuntimeException | Error e) {
            result.completeExceptionally(e);
        }
        try {
            return descent.join();
        } catch (CompletionException e) {
            throw unchecked(e.getCause());
        }
    }

    private static RuntimeException unchecked(Throwable thrown) {
        return switch (thrown) {
            case RuntimeException e -> e;
            case Error e -> throw e;
            default -> throw new AssertionError(thrown); // the linker throws no other
        };
    }

    /// One call of a function from within as many others as it takes.
    private static final class Descent {
        private static final MethodHandle SEARCH = Linker.nativeLinker()
                .downcallHandle(Linker.nativeLinker().defaultLookup().findOrThrow("bsearch"), BSEARCH);
        private static final MemorySegment COMPARE = stub();
        private static final ThreadLocal<Descent> OF_THREAD = new ThreadLocal<>();

        private final MemorySegment[] segments;
        private final IntSupplier function;
        private int passed; // of the segments
        private int result;
        private Throwable thrown;

        Descent(MemorySegment[] segments, IntSupplier function) {
            this.segments = segments;
            this.function = function;
        }

        int run() {
            Descent outer = OF_THREAD.get(); // there is one where the function of another call has led here
            OF_THREAD.set(this);
            descend();
            OF_THREAD.set(outer);
            if (thrown != null) {
                throw unchecked(thrown);
            }
            return result;
        }

        private void descend() {
            try {
                if (passed == segments.length) {
                    result = function.getAsInt();
                } else {
                    MemorySegment key = segments[passed++];
                    MemorySegment base = passed < segments.length ? segments[passed++] : key;
                    MemorySegment _ = (MemorySegment) SEARCH.invokeExact(key, base, 1L, 1L, COMPARE);
                }
            } catch (Throwable e) {
                thrown = e;
            }
        }

        /// Called by `bsearch`, through which no exception may pass.
        private static int compare(MemorySegment key, MemorySegment element) {
            OF_THREAD.get().descend();
            return 0;
        }

        private static MemorySegment stub() {
            try {
                MethodHandle compare = MethodHandles.lookup().findStatic(Descent.class, "compare", COMPARISON.toMethodType());
                return Linker.nativeLinker().upcallStub(compare, COMPARISON, Arena.global());
            } catch (ReflectiveOperationException e) {
                throw new AssertionError(e);
            }
        }
    }
}
