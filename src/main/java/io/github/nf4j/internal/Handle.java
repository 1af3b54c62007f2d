package io.github.nf4j.internal;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/// The native pointer of one closeable object, and who uses it at this moment: what lasts is counted here, such as objects made from it;
/// calls in progress have it in their [CallSlots]. Nothing is closed under a user's feet, and nothing is used once closed.
public final class Handle {
    private static final AtomicLong MADE = new AtomicLong();
    private static final int CLOSED = -1;
    /// Somebody wants to close it, and looks whether a call uses it. Who uses it meanwhile objects: he takes this mark away.
    private static final int CLOSING = -2;

    private final String what;
    private final MemorySegment pointer;
    private final long number = MADE.incrementAndGet();
    private final AtomicInteger users = new AtomicInteger();

    /// @param owner   the object that users close
    /// @param what    its name in messages, such as "stream of device cpu"
    /// @param pointer what native code knows it by
    public Handle(Object owner, String what, MemorySegment pointer) {
        this.what = what;
        this.pointer = pointer;
        LeakDetector.watch(owner, this);
    }

    /// The native pointer; only valid while somebody uses it.
    public MemorySegment pointer() {
        return pointer;
    }

    /// That of no other handle, and never 0.
    long number() {
        return number;
    }

    /// Keeps the object from being closed until [#release].
    ///
    /// @throws IllegalStateException if it is closed
    public void acquire() {
        int count;
        do {
            count = users.get();
            checkOpen(count);
        } while (!users.compareAndSet(count, Math.max(count, 0) + 1));
    }

    public void release() {
        users.decrementAndGet();
    }

    /// For a call that has it in its slots already.
    ///
    /// @throws IllegalStateException if it is closed
    void checkUsable() {
        if (users.get() < 0) {
            users.compareAndSet(CLOSING, 0); // the closer may have looked at the call's stream before it began
            checkOpen(users.get());
        }
    }

    /// Marks the object closed.
    ///
    /// @return whether this call did it; false if it was closed before
    /// @throws IllegalStateException if it is in use; it stays open then
    public synchronized boolean close() {
        while (true) {
            int count = users.compareAndExchange(0, CLOSING);
            if (count == CLOSED) {
                return false;
            }
            if (count == 0) {
                count = CallSlots.uses(this);
                if (count == 0 && users.compareAndSet(CLOSING, CLOSED)) {
                    return true;
                }
                users.compareAndSet(CLOSING, 0);
            }
            if (count > 0) {
                throw new IllegalStateException(what + " cannot be closed: it is in use " + count
                        + (count == 1 ? " time" : " times")
                        + "; first close what was made from it, and let calls on other threads return");
            }
        }
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
