package io.github.nf4j.internal;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;

/// The native pointer of one closeable object, and the count of those who use it at this moment: calls in progress, and
/// objects made from it. Nothing is closed under a user's feet, and nothing is used once closed.
public final class Handle {
    private static final int CLOSED = -1;

    private final String what;
    private final MemorySegment pointer;
    private final AtomicInteger users = new AtomicInteger();

    /// @param owner   the object that users close
    /// @param what    its name in messages, such as "stream of device cpu"
    /// @param pointer what native code knows it by
    public Handle(Object owner, String what, MemorySegment pointer) {
        this.what = what;
        this.pointer = pointer;
        LeakDetector.watch(owner, this);
    }

    /// The native pointer; only valid between [#acquire] and [#release].
    public MemorySegment pointer() {
        return pointer;
    }

    /// Keeps the object from being closed until [#release].
    ///
    /// @throws IllegalStateException if it is closed
    public void acquire() {
        int count;
        do {
            count = users.get();
            checkOpen(count);
        } while (!users.compareAndSet(count, count + 1));
    }

    /// As [#acquire], for an object that one thread may use at a time.
    ///
    /// @throws IllegalStateException if it is closed or another thread uses it
    public void acquireAlone() {
        if (!users.compareAndSet(0, 1)) {
            checkOpen(users.get());
            throw new IllegalStateException(what + " is in use by another thread at this moment; "
                    + "give each thread a stream of its own");
        }
    }

    public void release() {
        users.decrementAndGet();
    }

    /// Marks the object closed.
    ///
    /// @return whether this call did it; false if it was closed before
    /// @throws IllegalStateException if it is in use; it stays open then
    public boolean close() {
        int count = users.compareAndExchange(0, CLOSED);
        if (count > 0) {
            throw new IllegalStateException(what + " cannot be closed: it is in use " + count
                    + (count == 1 ? " time" : " times")
                    + "; first close what was made from it, and let calls on other threads return");
        }
        return count == 0;
    }

    /// Takes [#close] back, for an object that turned out to be in use otherwise.
    public void reopen() {
        users.set(0);
    }

    public boolean isClosed() {
        return users.get() == CLOSED;
    }

    private void checkOpen(int count) {
        if (count == CLOSED) {
            throw new IllegalStateException(what + " is closed");
        }
    }

    @Override
    public String toString() {
        return what;
    }
}
