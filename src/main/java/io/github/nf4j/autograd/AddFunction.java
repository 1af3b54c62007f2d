package io.github.nf4j.autograd;

import io.github.nf4j.op.MemoryOps;

/// `y = a + b`: the residual connection. Its gradient goes on to both without a copy.
public final class AddFunction {
    private AddFunction() {
    }

    /// @param a [m, n]; consumed
    /// @param b [m, n]; consumed, and not the same variable as `a`
    /// @return as `a`
    public static Variable apply(Tape tape, Variable a, Variable b) {
        PooledTensor y = tape.inPlaceOf(b.pooled().heldOnce() ? b.pooled() : a.pooled());
        MemoryOps.add(tape.stream(), a.value(), b.value(), y.tensor());
        a.release();
        b.release();
        return a.requiresGrad() || b.requiresGrad() ? tape.recorded(y, dy -> {
            tape.passGradient(a, dy.hold());
            tape.passGradient(b, dy.hold());
        }) : tape.constant(y);
    }
}
