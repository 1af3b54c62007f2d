package io.github.nf4j.bench.jmh;

import io.github.nf4j.DType;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.bench.cases.SyntheticModel;
import io.github.nf4j.bench.train.TrainingRun;
import io.github.nf4j.nn.LlamaModel;
import io.github.nf4j.nn.Quantization;
import io.github.nf4j.nn.TokenBatch;
import io.github.nf4j.optim.AdamW;
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

/// A whole training step, forward, backward and optimizer, of a model so small that Java's part of it shows: QLoRA on two layers and
/// eight tokens.
///
///     bench/nf4j-jmh StepCost -prof gc
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 4, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 3, jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Xms512m", "-Xmx512m", "-XX:+AlwaysPreTouch"})
public class StepCost {
    private static final Model MODEL = new Model("tiny", 2, 64, 128, 2, 1, 32, 256, true);
    private static final int[] TOKENS = {1, 2, 3, 4, 5, 6, 7, 8};

    private SmallDevice small;
    private LlamaModel model;
    private TensorPool pool;
    private AdamW optimizer;
    private TokenBatch batch;

    @Setup
    public void open() {
        small = new SmallDevice();
        SyntheticModel weights = new SyntheticModel(MODEL, MODEL.layers(), 1);
        model = LlamaModel.load(small.stream(), weights.config(), weights, Quantization.nf4(), DType.F32);
        TrainingRun.attachAdapters(model);
        pool = new TensorPool(small.stream());
        optimizer = new AdamW(small.stream(), model.parameters(), AdamW.Settings.of(0));
        batch = TokenBatch.of(List.of(TOKENS), List.of(TOKENS));
    }

    @TearDown
    public void close() {
        optimizer.close();
        pool.close();
        model.close();
        small.close();
    }

    @Benchmark
    public TrainingRun.Step step() {
        return TrainingRun.step(model, pool, optimizer, batch);
    }
}
