package io.github.nf4j.bench.jmh;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.op.AdamwOptions;
import io.github.nf4j.op.AdamwParameters;
import io.github.nf4j.op.AttentionOps;
import io.github.nf4j.op.AttentionShape;
import io.github.nf4j.op.DenseOps;
import io.github.nf4j.op.EmbeddingOps;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.LossOps;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.MlpOps;
import io.github.nf4j.op.Nf4Ops;
import io.github.nf4j.op.NormOps;
import io.github.nf4j.op.OptimOps;
import io.github.nf4j.op.PackedSequences;
import io.github.nf4j.op.RopeOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
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

/// What a call costs through the JVM, at least one operation of each family, on tensors so small that little else is left.
///
///     bench/nf4j-jmh CallCost -prof gc
///
/// Its twin in C, which makes the same calls with the same arguments, is `build/native/bench/call_cost`: the difference is what
/// the way through Java adds. gc.alloc.rate.norm must be 0 bytes per operation, but for the last four.
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 4, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 3, jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Xms512m", "-Xmx512m", "-XX:+AlwaysPreTouch"})
public class CallCost {
    private static final int WIDTH = 64;

    private SmallDevice small;
    private Stream stream;
    private Tensor x;
    private Tensor y;
    private Tensor row;
    private Tensor rstd;
    private Tensor view;
    private Tensor table;
    private Tensor token;
    private Tensor dense;
    private Nf4Weight weight;
    private LinearWeight packed;
    private LinearWeight head;
    private LoraWeights lora;
    private AttentionShape attention;
    private PackedSequences sequences;
    private AdamwOptions adamw;
    private AdamwParameters parameters;

    @Setup
    public void open() {
        small = new SmallDevice();
        stream = small.stream();
        x = small.tensor(1, WIDTH);
        y = small.tensor(1, WIDTH);
        row = small.tensor(1, WIDTH);
        rstd = small.tensor(1, 1);
        view = small.view(1, 1);
        table = small.tensor(1, WIDTH);
        token = small.zero();
        dense = small.tensor(WIDTH, WIDTH);
        weight = Nf4Weight.quantize(stream, dense, 64, true);
        packed = LinearWeight.nf4(weight, null);
        head = LinearWeight.dense(dense, null);
        lora = new LoraWeights(row, small.tensor(WIDTH, 1), 1);
        attention = AttentionShape.of(1, 1, WIDTH);
        sequences = PackedSequences.ofLengths(1);
        adamw = new AdamwOptions(0, 0.9f, 0.999f, 1e-8f, 0, 1);
        parameters = new AdamwParameters(List.of(new AdamwParameters.Parameter(small.tensor(1, WIDTH), row, small.tensor(1, WIDTH),
                small.tensor(1, WIDTH), null)));
    }

    @TearDown
    public void close() {
        if (y.getFloat(0, 0) == Float.MAX_VALUE) { // native writes are not dead code, but somebody should have read one
            throw new AssertionError();
        }
        weight.close();
        small.close();
    }

    /// A downcall that does nothing: the least that there is.
    @Benchmark
    public int abiVersion() {
        return Nf4jH.nf4j_abi_version();
    }

    @Benchmark
    public void memoryFill() {
        MemoryOps.fill(stream, 1, rstd);
    }

    @Benchmark
    public void memoryAdd() {
        MemoryOps.add(stream, x, row, y);
    }

    @Benchmark
    public void normForward() {
        NormOps.forward(stream, x, row, 1e-5f, rstd, y);
    }

    @Benchmark
    public void ropeForward() {
        RopeOps.forward(stream, x, table, y);
    }

    @Benchmark
    public void swigluForward() {
        MlpOps.swigluForward(stream, x, row, y);
    }

    @Benchmark
    public void embeddingForward() {
        EmbeddingOps.forward(stream, token, dense, y);
    }

    @Benchmark
    public void attentionForward() {
        AttentionOps.forward(stream, attention, sequences, x, row, table, rstd, y);
    }

    @Benchmark
    public void nf4Matmul() {
        Nf4Ops.matmul(stream, x, weight, null, y);
    }

    @Benchmark
    public void denseMatmul() {
        DenseOps.matmul(stream, false, true, 1, 0, x, dense, null, y);
    }

    @Benchmark
    public void loraForward() {
        LoraOps.forward(stream, x, packed, lora, rstd, y);
    }

    @Benchmark
    public void crossEntropy() {
        LossOps.linearCrossEntropy(stream, x, head, token, 1, rstd, y);
    }

    @Benchmark
    public void adamw() {
        OptimOps.adamw(stream, adamw, parameters, null);
    }

    /// The right way to pass memory of one's own: the view was made once. A call keeps its arena open, which may take an object.
    @Benchmark
    public void wrappedOnce() {
        MemoryOps.fill(stream, 1, view);
    }

    /// A view for each call: cheap, and often optimised away, but not free.
    @Benchmark
    public void wrappedEachTime() {
        MemoryOps.fill(stream, 1, Tensor.ofHost(view.segment(), DType.F32, 1, 1));
    }

    /// The wrong way: memory for each call. Arenas are for what lives longer.
    @Benchmark
    public float allocatedEachTime() {
        try (Arena confined = Arena.ofConfined()) {
            MemorySegment segment = confined.allocate(Float.BYTES, 64);
            Tensor tensor = Tensor.ofHost(segment, DType.F32, 1, 1);
            MemoryOps.fill(stream, 1, tensor);
            return tensor.getFloat(0, 0);
        }
    }

    /// Another wrong way: over the heap, with a copy that native code could have been spared.
    @Benchmark
    public void copiedFromTheHeap() {
        view.copyFrom(1f);
        MemoryOps.add(stream, view, view, view);
    }
}
