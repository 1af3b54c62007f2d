package consumer;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.AdamwOptions;
import io.github.nf4j.op.AdamwParameters;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.LoraOps;
import io.github.nf4j.op.LoraWeights;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.OptimOps;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Random;

/// Trains the adapter of one quantized layer, as a framework with its own memory and its own loop does: towards the
/// outputs of the same layer with another adapter of the same rank, which it can reach.
final class LoraTraining {
    private static final int TOKENS = 64;
    private static final int IN = 96;
    private static final int OUT = 80;
    private static final int RANK = 4;
    private static final int STEPS = 300;

    /// The mean squared error before the first step and before the last.
    record Losses(double first, double last) {
    }

    private final Arena arena;
    private final Random random = new Random(7);

    LoraTraining(Arena arena) {
        this.arena = arena;
    }

    /// A tensor in memory of ours, which an arena has filled with zeros.
    private Tensor zeros(long rows, long cols) {
        return Tensor.ofHost(arena.allocate(rows * cols * Float.BYTES, 64), DType.F32, rows, cols);
    }

    private Tensor gaussian(int rows, int cols, double deviation) {
        Tensor tensor = zeros(rows, cols);
        float[] values = new float[rows * cols];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (deviation * random.nextGaussian());
        }
        tensor.copyFrom(values);
        return tensor;
    }

    private AdamwParameters.Parameter parameter(Tensor param, Tensor grad) {
        return new AdamwParameters.Parameter(param, grad, zeros(param.rows(), param.cols()),
                zeros(param.rows(), param.cols()), null);
    }

    Losses run(Stream stream) {
        Tensor x = gaussian(TOKENS, IN, 1);
        Tensor u = zeros(TOKENS, RANK);
        Tensor y = zeros(TOKENS, OUT);
        Tensor wanted = zeros(TOKENS, OUT);
        Tensor dy = zeros(TOKENS, OUT);
        Tensor a = gaussian(RANK, IN, 0.1);
        Tensor b = zeros(OUT, RANK);
        Tensor da = zeros(RANK, IN);
        Tensor db = zeros(OUT, RANK);
        AdamwParameters parameters = new AdamwParameters(List.of(parameter(a, da), parameter(b, db)));
        LoraWeights lora = new LoraWeights(a, b, RANK);
        try (Nf4Weight packed = Nf4Weight.quantize(stream, gaussian(OUT, IN, 0.1), 64, true)) {
            LinearWeight base = new LinearWeight.Nf4(packed, null);
            LoraOps.forward(stream, x, base, new LoraWeights(gaussian(RANK, IN, 0.1), gaussian(OUT, RANK, 0.5), RANK), u,
                    wanted);
            double first = 0;
            double loss = 0;
            for (int step = 1; step <= STEPS; step++) {
                LoraOps.forward(stream, x, base, lora, u, y);
                stream.synchronize();
                loss = lossAndGradient(y, wanted, dy);
                first = step == 1 ? loss : first;
                MemoryOps.fill(stream, 0, da);
                MemoryOps.fill(stream, 0, db);
                LoraOps.backward(stream, x, dy, u, base, lora, false, da, db, null);
                OptimOps.adamw(stream, new AdamwOptions(0.02f, 0.9f, 0.999f, 1e-8f, 0, step), parameters, null);
            }
            return new Losses(first, loss);
        }
    }

    /// The mean squared error, and its gradient in `dy`: the framework's own part, on its own memory.
    private static double lossAndGradient(Tensor y, Tensor wanted, Tensor dy) {
        float[] is = y.toFloatArray();
        float[] ought = wanted.toFloatArray();
        float[] gradient = new float[is.length];
        double sum = 0;
        for (int i = 0; i < is.length; i++) {
            float difference = is[i] - ought[i];
            sum += (double) difference * difference;
            gradient[i] = 2 * difference / is.length;
        }
        dy.copyFrom(gradient);
        return sum / is.length;
    }
}
