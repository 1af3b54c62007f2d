package io.github.nf4j.internal;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.IntSupplier;

/// What the calls of a captured stream have used: a graph of them uses it again with every launch.
public final class Capture {
    private final Set<Handle> handles = new HashSet<>();
    private final List<MemorySegment> segments = new ArrayList<>();
    private final OpenArenas arenas = new OpenArenas();

    /// Keeps what `handle` stands for from being closed.
    void keep(Handle handle) {
        if (handles.add(handle)) {
            handle.acquire();
        }
    }

    /// Keeps a segment of the caller's in mind, and reachable.
    void keep(MemorySegment segment) {
        arenas.add(segment);
        segments.add(segment);
    }

    /// The status of `launch`, the C function that runs the calls again: the caller's arenas stay open meanwhile.
    ///
    /// @throws IllegalStateException if a segment of the caller's cannot be used any more
    public int whileOpen(IntSupplier launch) {
        for (MemorySegment segment : segments) {
            Call.checkUsable(segment, "a captured segment of " + segment.byteSize() + " bytes");
        }
        return arenas.isEmpty() ? launch.getAsInt() : arenas.during(launch);
    }

    /// Everything may be closed again.
    public void release() {
        handles.forEach(Handle::release);
        handles.clear();
        segments.clear();
        arenas.clear();
    }
}
