package io.github.nf4j.nn;

import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.internal.Undo;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.MemoryOps;
import java.util.List;
import java.util.SplittableRandom;

/// The trained low-rank update `scale · B · A` of one projection. Its parameters are called as PEFT calls them, without the
/// prefix: `<module path>.lora_A.weight` and `<module path>.lora_B.weight`.
public final class LoraAdapter implements AutoCloseable {
    private final LoraSettings settings;
    private final int moduleIndex;
    private final Parameter a;
    private final Parameter b;
    private LoraWeights weights; // null until a pass needs them
    private Tensor weightsSeeds;

    /// An adapter whose factors are undefined until they are written or initialised.
    ///
    /// @param moduleIndex number of the projection in the model, which tells its random numbers from others'
    LoraAdapter(Device device, String path, int moduleIndex, long out, long in, LoraSettings settings) {
        this.settings = settings;
        this.moduleIndex = moduleIndex;
        try (Undo undo = new Undo()) {
            this.a = new Parameter(device, path + ".lora_A.weight", settings.rank(), in);
            undo.add(a::close);
            this.b = new Parameter(device, path + ".lora_B.weight", out, settings.rank());
            undo.keep();
        }
    }

    /// PEFT's default: A uniform in ±1 / sqrt(in), B zero, so that training begins at the base model.
    void initialize(Stream stream, long seed) {
        SplittableRandom random = new SplittableRandom(Seeds.module(seed, moduleIndex));
        double bound = 1 / Math.sqrt(a.value().cols());
        float[] values = new float[Math.toIntExact(a.value().rows() * a.value().cols())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextDouble(-bound, bound);
        }
        HostCopies.write(stream, values, a.value());
        MemoryOps.fill(stream, 0, b.value());
    }

    public LoraSettings settings() {
        return settings;
    }

    /// [rank, in].
    public Parameter a() {
        return a;
    }

    /// [out, rank].
    public Parameter b() {
        return b;
    }

    List<Parameter> parameters() {
        return List.of(a, b);
    }

    /// The adapter as kernels take it: the same object as long as the seeds stand in the same place.
    ///
    /// @param dropoutSeeds in device memory, one for each projection of the model; null for no dropout
    LoraWeights weights(Tensor dropoutSeeds) {
        Tensor seeds = settings.dropout() > 0 ? dropoutSeeds : null;
        if (weights == null || seeds != weightsSeeds) {
            weights = new LoraWeights(a.value(), b.value(), (float) settings.alpha(), settings.rankStabilized(),
                    seeds == null ? 0 : (float) settings.dropout(), 0, seeds == null ? null : seeds.columns(moduleIndex, 1));
            weightsSeeds = seeds;
        }
        return weights;
    }

    @Override
    public void close() {
        a.close();
        b.close();
    }
}
