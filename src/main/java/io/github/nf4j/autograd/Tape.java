package io.github.nf4j.autograd;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.CallTrace;
import io.github.nf4j.op.MemoryOps;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/// The operations of one forward pass whose derivatives will be asked for, and the memory of their values.
///
/// A tape that records keeps, for each operation that something trained had a part in, its [BackwardRule] with the values that
/// the rule needs; [#backward] runs the rules from the last to the first and frees those values as it goes. Operations on
/// frozen values alone are not recorded. An inference tape records nothing. Closing a tape takes all its memory back.
///
/// Tapes, variables and rules are used again: a pass that repeats one before it makes no objects.
public final class Tape implements AutoCloseable {
    private final TensorPool pool;
    private final List<BackwardRule> rules = new ArrayList<>(); // the first `recorded` are to run, the others are left from before
    private final List<Variable> variables = new ArrayList<>(); // likewise the first `made` are this pass's
    private final LinearFunction.Projected projected = new LinearFunction.Projected();
    private int recorded;
    private int made;
    private boolean open;
    private boolean recording;
    private long pass; // counted at the end, so that between two passes no variable is of the present one
    private String section;

    Tape(TensorPool pool) {
        this.pool = pool;
    }

    /// A tape for a forward pass that [#backward] follows.
    ///
    /// @param pool used by this tape alone until it is closed
    /// @throws IllegalStateException if another tape uses it
    public static Tape recording(TensorPool pool) {
        return pool.nextTape().open(true);
    }

    /// A tape for a forward pass alone.
    ///
    /// @param pool as for [#recording]
    public static Tape inference(TensorPool pool) {
        return pool.nextTape().open(false);
    }

    private Tape open(boolean records) {
        open = true;
        recording = records;
        return this;
    }

    public Stream stream() {
        return pool().stream();
    }

    /// @throws IllegalStateException if the tape is closed
    public TensorPool pool() {
        if (!open) {
            throw new IllegalStateException("the tape is closed");
        }
        return pool;
    }

    public boolean isRecording() {
        return recording;
    }

    boolean isOpen() {
        return open;
    }

    /// Tells the variables of this pass from those of others.
    long pass() {
        return pass;
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
        return variable(pool().borrow(value), requiresGrad && recording);
    }

    /// The variable of an operation on frozen values.
    Variable constant(PooledTensor value) {
        return variable(value, false);
    }

    /// The variable of a recorded operation.
    ///
    /// @param rule of [#rule], filled
    Variable recorded(PooledTensor value, BackwardRule rule) {
        Variable output = variable(value, true);
        rule.recorded(output, section);
        recorded++;
        return output;
    }

    /// The object that is to become the next operation's rule: the one that an earlier pass had at this place, if it is of the class
    /// wanted, else a new one.
    <R extends BackwardRule> R rule(Class<R> kind, Supplier<R> maker) {
        if (recorded == rules.size()) {
            rules.add(maker.get());
        } else if (rules.get(recorded).getClass() != kind) {
            rules.set(recorded, maker.get());
        }
        return kind.cast(rules.get(recorded));
    }

    /// The object that an earlier pass had at this place, if its holder has released it, else a new one.
    private Variable variable(PooledTensor value, boolean requiresGrad) {
        if (made == variables.size()) {
            variables.add(new Variable(this));
        } else if (!variables.get(made).isReleased()) {
            variables.set(made, new Variable(this));
        }
        return variables.get(made++).begin(value, requiresGrad);
    }

    LinearFunction.Projected projected() {
        return projected;
    }

    /// Runs the rules from the last operation to the first.
    public void backward() {
        for (; recorded > 0; recorded--) {
            BackwardRule rule = rules.get(recorded - 1);
            PooledTensor dy = rule.output().pooledGradient();
            if (dy != null) {
                CallTrace.section(stream(), rule.section());
                rule.apply(this, dy);
                rule.output().setGradient(null);
            }
            rule.releaseSaved();
        }
        CallTrace.section(stream(), null);
    }

    /// An uninitialised tensor with the shape and type of `form`.
    PooledTensor takeLike(Tensor form) {
        return pool().take(form.dtype(), form.rows(), form.cols());
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

    /// Takes back the memory of every variable of this tape. Closing twice does nothing.
    @Override
    public void close() {
        if (!open) {
            return;
        }
        for (; recorded > 0; recorded--) {
            rules.get(recorded - 1).releaseSaved();
        }
        for (; made > 0; made--) {
            variables.get(made - 1).end();
        }
        section = null;
        open = false;
        pass++;
        pool.reset();
    }
}
