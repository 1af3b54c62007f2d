package io.github.nf4j.internal;

import java.util.ArrayDeque;
import java.util.Deque;

/// Closes what a constructor has opened, unless it gets to its end:
///
/// ```java
/// try (Undo undo = new Undo()) {
///     this.a = Tensor.allocate(device, DType.F32, rows, cols);
///     undo.add(a::close);
///     this.b = Tensor.allocate(device, DType.F32, rows, cols);
///     undo.keep();
/// }
/// ```
public final class Undo implements AutoCloseable {
    private final Deque<Runnable> closers = new ArrayDeque<>();

    /// @param closer what closes the thing just opened
    public void add(Runnable closer) {
        closers.push(closer);
    }

    /// Everything is there: nothing will be closed.
    public void keep() {
        closers.clear();
    }

    @Override
    public void close() {
        closers.forEach(Runnable::run);
    }
}
