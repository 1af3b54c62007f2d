package io.github.nf4j.autograd;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.CallTrace;
import io.github.nf4j.op.MemoryOps;

/// The operations of one forward pass whose derivatives will be asked for, and the memory of their values.
///
/// A tape that records keeps, for each operation that something trained had a part in, its [BackwardRule] and the values that
/// the rule needs; [#backward] runs the rules from the last to the first and frees those values as it goes. Operations on
/// frozen values alone are not recorded. An inference tape records nothing. Closing a tape takes all its memory back.
public final class Tape implements AutoCloseable {
    private static final PooledTensor[] NOTHING = {};

    private final TensorPool pool;
    private final boolean recording;
    private Node last;
    private String section;

    /// One recorded operation.
    ///
    /// @param section what the operation belongs to
    /// @param before  the operation recorded before, or null
    private record Node(Variable output, BackwardRule rule, PooledTensor[] saved, String section, Node before) {
    }

    private Tape(TensorPool pool, boolean recording) {
        this.pool = pool;
        this.recording = recording;
    }

    /// A tape for a forward pass that [#backward] follows.
    ///
    /// @param pool used by this tape alone until it is closed
    public static Tape recording(TensorPool pool) {
        return new Tape(pool, true);
    }

    /// A tape for a forward pass alone.
    public static Tape inference(TensorPool pool) {
        return new Tape(pool, false);
    }

    public Stream stream() {
        return pool.stream();
    }

    public TensorPool pool() {
        return pool;
    }

    public boolean isRecording() {
        return recording;
    }

    /// Names the part of the model that the next operations and their derivatives belong to, for a [CallTrace]; null for none.
    public void section(String name) {
        section = name;
        CallTrace.section(stream(), name);
    }

    /// A variable over memory of the caller's.
    ///
    /// @param requiresGrad whether backward shall leave its gradient in [Variable#gradient]
    public Variable leaf(Tensor value, boolean requiresGrad) {
        return new Variable(PooledTensor.borrowed(value), requiresGrad && recording);
    }

    /// The variable of an operation on frozen values.
    Variable constant(PooledTensor value) {
        return new Variable(value, false);
    }

    /// The variable of a recorded operation whose rule reads no values.
    Variable recorded(PooledTensor value, BackwardRule rule) {
        return recorded(value, rule, NOTHING);
    }

    /// The variable of a recorded operation.
    ///
    /// @param saved the values that the rule reads; held until it has run
    Variable recorded(PooledTensor value, BackwardRule rule, PooledTensor... saved) {
        Variable output = new Variable(value, true);
        for (PooledTensor tensor : saved) {
            tensor.hold();
        }
        last = new Node(output, rule, saved, section, last);
        return output;
    }

    /// Runs the rules from the last operation to the first.
    public void backward() {
        while (last != null) {
            Node node = last;
            last = node.before;
            PooledTensor dy = node.output.pooledGradient();
            if (dy != null) {
                node.output.setGradient(null);
                CallTrace.section(stream(), node.section);
                node.rule.apply(dy);
                dy.release();
            }
            for (PooledTensor tensor : node.saved) {
                tensor.release();
            }
        }
        CallTrace.section(stream(), null);
    }

    /// An uninitialised tensor with the shape and type of `form`.
    PooledTensor takeLike(Tensor form) {
        return pool.take(form.dtype(), form.rows(), form.cols());
    }

    /// Where a kernel that works in place may put its output: `tensor` itself, held once more, if its one holder is about to
    /// drop it; else new memory of the same form.
    PooledTensor inPlaceOf(PooledTensor tensor) {
        return tensor.heldOnce() ? tensor.hold() : takeLike(tensor.tensor());
    }

    /// Where a kernel is to write the gradient of `x`, or to add to it where [Variable#hasGradient] says so.
    Tensor gradientOf(Variable x) {
        PooledTensor gradient = x.pooledGradient();
        if (gradient == null) {
            x.setGradient(takeLike(x.form()));
        } else if (!gradient.heldOnce()) { // somebody else reads it
            PooledTensor copy = takeLike(x.form());
            MemoryOps.copy(stream(), gradient.tensor(), copy.tensor());
            gradient.release();
            x.setGradient(copy);
        }
        return x.gradient();
    }

    /// Makes `dx` the gradient of `x`, without a copy, or adds it to the one there is; drops it where `x` needs none. The caller's
    /// hold on `dx` passes on.
    void passGradient(Variable x, PooledTensor dx) {
        if (!x.requiresGrad()) {
            dx.release();
        } else if (x.pooledGradient() == null) {
            x.setGradient(dx);
        } else {
            Tensor sum = gradientOf(x);
            MemoryOps.add(stream(), sum, dx.tensor(), sum);
            dx.release();
        }
    }

    /// Takes back the memory of every variable of this tape.
    @Override
    public void close() {
        last = null;
        pool.reset();
    }
}
