package io.github.nf4j.internal;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/// Which handles the call in progress on one stream uses, for those who want to close one. A call pays for it with one atomic operation,
/// however many handles it uses.
///
/// A stream is free; then a call gathers what it uses; then the C function runs; then the stream is free again. While it gathers, the call
/// writes each handle into a slot, and then looks whether the handle is marked as being closed. Who closes a handle marks it, and then looks
/// at every stream. The call begins with a compare-and-set of its state and reads the mark as a volatile field; the closer writes the mark
/// and reads the state likewise. These four are in one order that all threads see: either the closer finds the call begun, or the call
/// finds the mark. A call that gathers is waited for, since it goes on without waiting for anybody; the slots of one that runs are
/// complete. Slots that are read while the next call overwrites them are those of a call that is over: the state, which never returns to
/// what it was, shows it.
final class CallSlots {
    private static final List<CallSlots> OF_OPEN_STREAMS = new CopyOnWriteArrayList<>();
    private static final VarHandle STATE;

    /// The two lower bits of the state. The others count the calls.
    private static final int PHASE = 3;
    private static final int FREE = 0;
    private static final int GATHERING = 1;
    private static final int RUNNING = 2;

    private final Handle stream;
    private long state; // FREE of the call number 0
    private long[] slots = new long[16];
    private int used;

    static {
        try {
            STATE = MethodHandles.lookup().findVarHandle(CallSlots.class, "state", long.class);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    /// @param stream what each call uses besides its arguments
    CallSlots(Handle stream) {
        this.stream = stream;
        OF_OPEN_STREAMS.add(this);
    }

    /// How often calls in progress use `handle`, which is marked as being closed.
    static int uses(Handle handle) {
        int uses = 0;
        for (CallSlots slots : OF_OPEN_STREAMS) {
            uses += slots.count(handle.number());
        }
        return uses;
    }

    /// Begins a call, which gathers from now on.
    ///
    /// @throws IllegalStateException if the stream is closed or another thread uses it
    void begin() {
        long free = (long) STATE.getOpaque(this);
        if ((free & PHASE) != FREE || !STATE.compareAndSet(this, free, free + GATHERING)) {
            throw new IllegalStateException(stream + " is in use by another thread at this moment; give each thread a stream of its own");
        }
        used = 0;
        try {
            add(stream);
        } catch (IllegalStateException closed) {
            end();
            throw closed;
        }
    }

    /// Keeps `handle` from being closed until the call ends.
    ///
    /// @throws IllegalStateException if it is closed
    void add(Handle handle) {
        if ((state & PHASE) != GATHERING) {
            throw new AssertionError(handle + " is added to a call that does not gather");
        }
        if (used == slots.length) {
            slots = Arrays.copyOf(slots, 2 * used);
        }
        slots[used++] = handle.number();
        handle.checkUsable();
    }

    /// The call has gathered all that it uses. Does nothing where it has said so before.
    void run() {
        STATE.setRelease(this, state & ~PHASE | RUNNING);
    }

    /// Ends the call, wherever it is.
    void end() {
        STATE.setRelease(this, (state | PHASE) + 1);
    }

    /// The stream is closed: there will be no more calls.
    void remove() {
        OF_OPEN_STREAMS.remove(this);
    }

    private int count(long number) {
        long seen = (long) STATE.getVolatile(this);
        while ((seen & PHASE) == GATHERING) {
            Thread.yield();
            seen = (long) STATE.getVolatile(this);
        }
        if ((seen & PHASE) == FREE) {
            return 0;
        }
        long[] read = slots;
        int count = 0;
        for (int i = Math.min(used, read.length) - 1; i >= 0; i--) {
            count += read[i] == number ? 1 : 0;
        }
        VarHandle.acquireFence(); // the slots are read before the state is read again
        return (long) STATE.getOpaque(this) == seen ? count : 0;
    }
}
