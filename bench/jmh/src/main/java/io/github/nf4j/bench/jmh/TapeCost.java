package io.github.nf4j.bench.jmh;

import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.LinearCrossEntropyFunction;
import io.github.nf4j.autograd.LinearFunction;
import io.github.nf4j.autograd.SwiGluFunction;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.LinearWeight;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/// What recording and running a tape costs beside its kernels: one MLP on one token, forward alone and with its loss and backward.
///
///     bench/nf4j-jmh TapeCost -prof gc
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 4, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 3, jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Xms512m", "-Xmx512m", "-XX:+AlwaysPreTouch"})
public class TapeCost {
    private static final int WIDTH = 16;

    private SmallDevice small;
    private TensorPool pool;
    private Tensor x;
    private LinearWeight gate;
    private LinearWeight up;
    private LinearWeight head;
    private Tensor labels;

    @Setup
    public void open() {
        small = new SmallDevice();
        pool = new TensorPool(small.stream());
        x = small.tensor(1, WIDTH);
        gate = LinearWeight.dense(small.tensor(WIDTH, WIDTH), null);
        up = LinearWeight.dense(small.tensor(WIDTH, WIDTH), null);
        head = LinearWeight.dense(small.tensor(WIDTH, WIDTH), null);
        labels = small.zero();
    }

    @TearDown
    public void close() {
        pool.close();
        small.close();
    }

    /// The kernels' share: what the other two do beyond it is the tape's.
    @Benchmark
    public float inference() {
        try (Tape tape = Tape.inference(pool)) {
            return forward(tape, false);
        }
    }

    @Benchmark
    public float recordedForward() {
        try (Tape tape = Tape.recording(pool)) {
            return forward(tape, true);
        }
    }

    @Benchmark
    public float forwardAndBackward() {
        try (Tape tape = Tape.recording(pool)) {
            Variable leaf = tape.leaf(x, true);
            LinearCrossEntropyFunction.apply(tape, mlp(tape, leaf), head, labels, 1).release();
            tape.backward();
            leaf.release();
            return leaf.gradient().getFloat(0, 0);
        }
    }

    private float forward(Tape tape, boolean requiresGrad) {
        Variable leaf = tape.leaf(x, requiresGrad);
        Variable y = mlp(tape, leaf);
        leaf.release();
        float first = y.value().getFloat(0, 0);
        y.release();
        return first;
    }

    private Variable mlp(Tape tape, Variable input) {
        return SwiGluFunction.apply(tape, LinearFunction.apply(tape, input, gate), LinearFunction.apply(tape, input, up));
    }
}
