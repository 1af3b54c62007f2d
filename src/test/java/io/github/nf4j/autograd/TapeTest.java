package io.github.nf4j.autograd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.LinearWeight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// Tapes, variables and rules that are used again: each pass is as good as the first, and what ended with a tape stays ended.
class TapeTest {
    private Device device;
    private Stream stream;
    private TensorPool pool;
    private Tensor x;
    private LinearWeight first;
    private LinearWeight second;

    @BeforeEach
    void open() {
        device = Device.open(Backend.REFERENCE);
        stream = device.newStream();
        pool = new TensorPool(stream);
        x = tensor(1, 2, 3);
        first = LinearWeight.dense(matrix(3, 1, 0, 0, 0, 2, 0, 0, 0, 3), null);
        second = LinearWeight.dense(matrix(3, 0, 1, 0, 1, 0, 0, 0, 0, 1), null);
    }

    @AfterEach
    void close() {
        pool.close();
        stream.close();
        device.close();
    }

    @Test
    void aVariableEndsWithItsTape() {
        Variable leaf;
        Variable y;
        try (Tape tape = Tape.recording(pool)) {
            leaf = tape.leaf(x, true);
            y = LinearFunction.apply(tape, leaf, first);
            pass(tape, y);
            leaf.gradient();
        }
        for (Executable use : uses(leaf, y)) {
            assertClosed("the tape of this variable is closed", use);
        }
    }

    /// Whoever keeps variables from one pass to the next hears of it, whether they were released or not.
    @Test
    void aVariableOfTheLastPassIsNoneOfTheNext() {
        Variable released;
        Variable kept;
        try (Tape tape = Tape.inference(pool)) {
            kept = tape.leaf(x, false);
            released = LinearFunction.apply(tape, kept, first);
            released.release();
        }
        try (Tape tape = Tape.inference(pool)) {
            LinearFunction.apply(tape, tape.leaf(x, false), first);
            for (Variable old : new Variable[] {released, kept}) {
                assertClosed("the tape of this variable is closed", () -> LinearFunction.apply(tape, old, first));
                assertClosed("the tape of this variable is closed", old::value);
            }
        }
    }

    /// The object may be another's by then only where its holder gave it up.
    @Test
    void aVariableThatNobodyReleasedIsNeverUsedAgain() {
        Variable kept;
        Variable released;
        try (Tape tape = Tape.inference(pool)) {
            kept = tape.leaf(x, false);
            released = tape.leaf(x, false);
            released.release();
        }
        Tape.inference(pool).close();
        try (Tape tape = Tape.inference(pool)) {
            assertNotSame(kept, tape.leaf(x, false));
            assertSame(released, tape.leaf(x, false));
            assertClosed("the tape of this variable is closed", kept::value);
            assertEquals(2, released.value().getFloat(0, 1));
        }
    }

    @Test
    void aVariableIsReleasedOnce() {
        try (Tape tape = Tape.recording(pool)) {
            Variable leaf = tape.leaf(x, true);
            Variable y = RmsNormFunction.apply(tape, leaf, x, 1e-3f);
            leaf.release();
            assertEquals(1, leaf.value().getFloat(0, 0), "the rule needs it");
            assertThrows(IllegalStateException.class, leaf::release, "that hold is the rule's");
            y.release();
        }
    }

    @Test
    void aTapeThatIsClosedTakesNoPartInTheNextPass() {
        Tape closed = Tape.recording(pool);
        closed.close();
        try (Tape tape = Tape.recording(pool)) {
            Variable leaf = tape.leaf(x, true);
            assertNotSame(closed, tape);
            assertClosed("the tape is closed", () -> closed.leaf(x, true));
            assertClosed("the tape is closed", () -> LinearFunction.apply(closed, leaf, first));
            closed.close();
            assertEquals(1, leaf.value().getFloat(0, 0), "the second close does nothing");
        }
    }

    @Test
    void aPoolHasOneOpenTape() {
        try (Tape _ = Tape.recording(pool)) {
            assertThrows(IllegalStateException.class, () -> Tape.recording(pool));
            assertThrows(IllegalStateException.class, () -> Tape.inference(pool));
        }
        Tape.inference(pool).close();
    }

    /// Other operations at the same places of a tape get rules of their own kind, and an inference pass between them records nothing.
    @Test
    void aPassDoesNotDependOnThePassesBefore() {
        float[] alone = gradient(first, second);
        assertArrayEquals(new float[] {5, 2, 9}, alone, "x is scaled, then its first two elements change places");
        for (int i = 0; i < 3; i++) {
            assertArrayEquals(new float[] {10, 2, 27}, gradient(second, first, second, first, second), "five operations");
            try (Tape tape = Tape.recording(pool)) {
                Variable leaf = tape.leaf(x, true);
                Variable sum = AddFunction.apply(tape, RmsNormFunction.apply(tape, leaf, x, 1e-3f), leaf);
                pass(tape, SwiGluFunction.apply(tape, sum, LinearFunction.apply(tape, leaf, first)));
            }
            try (Tape tape = Tape.inference(pool)) {
                Variable leaf = tape.leaf(x, true);
                pass(tape, LinearFunction.apply(tape, leaf, first));
                assertNull(leaf.gradient());
            }
            assertArrayEquals(alone, gradient(first, second));
        }
    }

    /// Rules that have not run, gradients that nobody asked for, and variables that nobody released go back all the same.
    @Test
    void aTapeClosedEarlyLeavesNothingBehind() {
        for (int pass = 0; pass < 5; pass++) {
            PooledTensor saved;
            PooledTensor kept;
            PooledTensor gradient;
            try (Tape tape = Tape.recording(pool)) {
                Variable normed = RmsNormFunction.apply(tape, tape.leaf(x, true), x, 1e-3f);
                Variable again = RmsNormFunction.apply(tape, normed, x, 1e-3f);
                saved = normed.pooled();
                normed.release();
                kept = again.pooled();
                gradient = tape.takeLike(x);
                tape.passGradient(again, gradient);
                saved.tensor(); // all three are held
                kept.tensor();
                gradient.tensor();
            }
            for (PooledTensor tensor : List.of(saved, kept, gradient)) {
                assertThrows(IllegalStateException.class, tensor::tensor);
            }
        }
    }

    /// A rule that fails does not hold its values for ever.
    @Test
    void aFailedBackwardLeavesNothingBehind() {
        Tensor wrong = tensor(1, 2, 3, 4);
        for (int pass = 0; pass < 3; pass++) {
            PooledTensor saved;
            try (Tape tape = Tape.recording(pool)) {
                Variable leaf = tape.leaf(x, true);
                Variable normed = RmsNormFunction.apply(tape, LinearFunction.apply(tape, leaf, first), x, 1e-3f);
                saved = tape.takeLike(x);
                BackwardRule rule = tape.rule(FailingRule.class, FailingRule::new);
                rule.save(saved);
                Variable y = tape.recorded(tape.takeLike(wrong), rule);
                saved.release();
                tape.passGradient(y, tape.takeLike(wrong));
                assertThrows(IllegalArgumentException.class, tape::backward);
                normed.release();
            }
            assertThrows(IllegalStateException.class, saved::tensor);
            assertArrayEquals(new float[] {5, 2, 9}, gradient(first, second));
        }
    }

    private static final class FailingRule extends BackwardRule {
        @Override
        void apply(Tape tape, PooledTensor dy) {
            throw new IllegalArgumentException("as a kernel that refuses its arguments");
        }
    }

    /// The gradient of x through the layers, given (1, 5, 3) behind them.
    private float[] gradient(LinearWeight... layers) {
        try (Tape tape = Tape.recording(pool)) {
            Variable leaf = tape.leaf(x, true);
            Variable y = leaf;
            for (LinearWeight layer : layers) {
                Variable next = LinearFunction.apply(tape, y, layer);
                y.release();
                y = next;
            }
            pass(tape, y);
            return leaf.gradient().toFloatArray();
        }
    }

    private void pass(Tape tape, Variable y) {
        PooledTensor dy = tape.takeLike(y.form());
        dy.tensor().copyFrom(1, 5, 3);
        tape.passGradient(y, dy);
        y.release();
        tape.backward();
    }

    private static Executable[] uses(Variable... variables) {
        return Arrays.stream(variables).flatMap(variable -> java.util.stream.Stream.<Executable>of(variable::value, variable::gradient,
                variable::release, variable::requiresGrad)).toArray(Executable[]::new);
    }

    private static void assertClosed(String message, Executable use) {
        assertEquals(message, assertThrows(IllegalStateException.class, use).getMessage());
    }

    private static Tensor tensor(float... values) {
        return matrix(1, values);
    }

    private static Tensor matrix(int rows, float... values) {
        return Tensor.ofHost(Arena.ofAuto().allocateFrom(ValueLayout.JAVA_FLOAT, values), DType.F32, rows, values.length / rows);
    }
}
