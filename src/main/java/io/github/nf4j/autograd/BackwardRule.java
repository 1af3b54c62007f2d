package io.github.nf4j.autograd;

import java.util.ArrayList;
import java.util.List;

/// A recorded operation: its hand-written derivative, with what that needs. Each function has a class of its own, whose objects a tape
/// fills anew in every pass ([Tape#rule]).
abstract class BackwardRule {
    private final List<PooledTensor> saved = new ArrayList<>();
    private Variable output;
    private String section;

    /// Adds the gradients of the operation's inputs.
    ///
    /// @param dy gradient of the output; the tape releases it afterwards
    abstract void apply(Tape tape, PooledTensor dy);

    /// Holds a tensor that the rule reads until it has run.
    final PooledTensor save(PooledTensor tensor) {
        saved.add(tensor.hold());
        return tensor;
    }

    /// Holds the value of a variable, likewise.
    final Variable save(Variable variable) {
        save(variable.pooled());
        return variable;
    }

    /// @param newSection what the operation belongs to
    final void recorded(Variable newOutput, String newSection) {
        output = newOutput;
        section = newSection;
    }

    final Variable output() {
        return output;
    }

    final String section() {
        return section;
    }

    final void releaseSaved() {
        for (int i = 0; i < saved.size(); i++) {
            saved.get(i).release();
        }
        saved.clear();
    }
}
