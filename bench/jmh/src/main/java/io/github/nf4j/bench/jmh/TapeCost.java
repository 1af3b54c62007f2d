package io.github.nf4j.bench.jmh;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.LinearFunction;
import io.github.nf4j.autograd.SwiGluFunction;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.MemoryOps;
import java.lang.foreign.Arena;
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

/// What recording and running a tape costs beside its kernels: one MLP on one token, forward alone and with backward.
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

    private Arena arena;
    private Device device;
    private Stream stream;
    private TensorPool pool;
    private Tensor x;
    private LinearWeight gate;
    private LinearWeight up;

    @Setup
    public void open() {
        arena = Arena.ofConfined();
        device = Device.open(new DeviceOptions(Backend.CPU, 0, 1, Isa.AUTO));
        stream = device.newStream();
        pool = new TensorPool(stream);
        x = tensor(1, WIDTH);
        gate = LinearWeight.dense(tensor(WIDTH, WIDTH), null);
        up = LinearWeight.dense(tensor(WIDTH, WIDTH), null);
    }

    private Tensor tensor(long rows, long cols) {
        Tensor tensor = Tensor.ofHost(arena.allocate(rows * cols * Float.BYTES, 64), DType.F32, rows, cols);
        MemoryOps.fill(stream, 0.1, tensor);
        return tensor;
    }

    @TearDown
    public void close() {
        pool.close();
        stream.close();
        device.close();
        arena.close();
    }

    /// The kernels' share: what the other two do beyond it is the tape's.
    @Benchmark
    public float inference() {
        try (Tape tape = Tape.inference(pool)) {
            return forward(tape, tape.leaf(x, false)).value().getFloat(0, 0);
        }
    }

    @Benchmark
    public float recordedForward() {
        try (Tape tape = Tape.recording(pool)) {
            return forward(tape, tape.leaf(x, true)).value().getFloat(0, 0);
        }
    }

    @Benchmark
    public float forwardAndBackward() {
        try (Tape tape = Tape.recording(pool)) {
            Variable leaf = tape.leaf(x, true);
            forward(tape, leaf);
            tape.backward();
            return x.getFloat(0, 0);
        }
    }

    private Variable forward(Tape tape, Variable input) {
        return SwiGluFunction.apply(tape, LinearFunction.apply(tape, input, gate), LinearFunction.apply(tape, input, up));
    }
}
