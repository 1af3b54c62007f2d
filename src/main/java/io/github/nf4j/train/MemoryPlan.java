package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.Quantization;
import java.util.Locale;
import java.util.Map;

/// What a job will need, in bytes, estimated before anything is loaded.
///
/// @param weights     the frozen weights
/// @param adapters    adapters, and in training their gradients and AdamW's moments
/// @param activations values kept for the backward pass and the largest gradients among them, or the working values of inference
///                    with the cache of keys and values
/// @param runtime     workspace of the kernels, the Java machine and its heap
public record MemoryPlan(long weights, long adapters, long activations, long runtime) {
    /// Measured on a small model: the workspace of a stream (64 MiB), the Java machine, the tokenizer.
    private static final long RUNTIME = 256L << 20;
    /// F32 value, gradient and two moments.
    private static final int TRAINED_BYTES = 16;
    private static final int SCALES_PER_NESTED_BLOCK = 256;

    /// Training adapters.
    ///
    /// @param tokens tokens of the largest micro-batch
    public static MemoryPlan forTraining(PretrainedModel model, Quantization quantization, DType compute, PeftConfig adapter,
                                         long tokens) {
        ModelConfig config = model.config();
        long ranks = 0;
        long trained = 0;
        for (Map.Entry<String, long[]> parameter : config.parameterShapes().entrySet()) {
            if (isProjection(parameter.getKey())) {
                String path = parameter.getKey().substring(0, parameter.getKey().length() - ".weight".length());
                int rank = adapter.targets(path) ? adapter.rank(path) : 0;
                ranks += rank;
                trained += rank * (parameter.getValue()[0] + parameter.getValue()[1]);
            }
        }
        // Kept per token and layer: inputs of both norms and of the projections, q, k, v, attention's output, gate, up and
        // their product; in F32 the adapters' inner values, log-sum-exp and the norms' scales.
        long layer = compute.bytes() * (4L * config.hiddenSize() + 2L * config.querySize() + 2L * config.keyValueSize()
                + 3L * config.intermediateSize()) + Float.BYTES * (config.heads() + 2L);
        long perToken = config.layers() * layer + Float.BYTES * ranks + transientBytes(config, compute);
        return new MemoryPlan(weights(model, quantization, compute), trained * TRAINED_BYTES, tokens * perToken, RUNTIME);
    }

    /// Evaluation or generation.
    ///
    /// @param tokens       tokens that go through the model together
    /// @param cachedTokens tokens whose keys and values are kept
    /// @param logits       tokens whose logits are kept
    public static MemoryPlan forInference(PretrainedModel model, Quantization quantization, DType compute, long tokens,
                                          long cachedTokens, long logits) {
        ModelConfig config = model.config();
        long cache = cachedTokens * config.layers() * 2L * config.keyValueSize() * compute.bytes();
        return new MemoryPlan(weights(model, quantization, compute), 0, tokens * transientBytes(config, compute) + cache
                + logits * config.vocabularySize() * Float.BYTES, RUNTIME);
    }

    /// Values of one token that are alive together in the busiest layer and are not kept.
    private static long transientBytes(ModelConfig config, DType compute) {
        return compute.bytes() * (6L * config.hiddenSize() + 2L * config.querySize() + 4L * config.intermediateSize());
    }

    private static long weights(PretrainedModel model, Quantization quantization, DType compute) {
        long bytes = 0;
        for (Map.Entry<String, long[]> parameter : model.config().parameterShapes().entrySet()) {
            String name = parameter.getKey();
            long[] shape = parameter.getValue();
            long elements = shape[0] * (shape.length > 1 ? shape[1] : 1);
            if (model.files().storedType(name) == DType.U8) {
                bytes += nf4Bytes(elements, new Quantization.Nf4(64, false));
            } else if (isProjection(name) && quantization instanceof Quantization.Nf4 nf4) {
                bytes += nf4Bytes(elements, nf4);
            } else {
                boolean half = shape.length > 1 && (compute == DType.BF16 || model.files().storedType(name) == DType.BF16);
                bytes += elements * (half ? DType.BF16 : DType.F32).bytes();
            }
        }
        return bytes;
    }

    private static long nf4Bytes(long elements, Quantization.Nf4 nf4) {
        long blocks = Math.ceilDiv(elements, nf4.blockSize());
        long scales = nf4.doubleQuant() ? blocks + Float.BYTES * Math.ceilDiv(blocks, SCALES_PER_NESTED_BLOCK)
                : Float.BYTES * blocks;
        return Math.ceilDiv(elements, 2) + scales;
    }

    private static boolean isProjection(String parameter) {
        return parameter.endsWith("_proj.weight");
    }

    public long total() {
        return weights + adapters + activations + runtime;
    }

    /// @param available bytes that may be used
    /// @throws IllegalStateException with the numbers, if this needs more
    public void requireFits(long available) {
        if (total() > available) {
            throw new IllegalStateException(String.format(Locale.ROOT, "not enough memory: about %s needed (weights %s, adapters and "
                    + "optimizer %s, activations %s, runtime %s), %s available; smaller batches and shorter sequences need less",
                    text(total()), text(weights), text(adapters), text(activations), text(runtime), text(available)));
        }
    }

    /// A size for people, such as `1.4 GiB`.
    public static String text(long bytes) {
        if (bytes < 1L << 20) {
            return String.format(Locale.ROOT, "%.1f KiB", bytes / 1024.0);
        }
        return bytes < 1L << 30 ? String.format(Locale.ROOT, "%.1f MiB", bytes / 1048576.0)
                : String.format(Locale.ROOT, "%.2f GiB", bytes / 1073741824.0);
    }
}
