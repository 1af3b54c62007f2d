package io.github.nf4j.bench.train;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.WeightSource;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;

/// Weights of the right size for a model that is trained to be timed: norms of one, the rest small and random.
final class RandomWeights implements WeightSource {
    /// What Llama models are initialised with: uniform numbers of the standard deviation 0.02.
    private static final double LARGEST = 0.02 * Math.sqrt(3);

    private final Map<String, long[]> shapes;
    private final SplittableRandom random = new SplittableRandom(1);

    RandomWeights(ModelConfig config) {
        this.shapes = config.parameterShapes();
    }

    @Override
    public boolean has(String name) {
        return shapes.containsKey(name);
    }

    @Override
    public long[] shape(String name) {
        return shapes.get(name);
    }

    @Override
    public DType storedType(String name) {
        return DType.F32;
    }

    @Override
    public void readF32Rows(String name, long firstRow, long rows, MemorySegment dst) {
        boolean norm = shapes.get(name).length == 1;
        for (long i = 0; i < dst.byteSize() / Float.BYTES; i++) {
            dst.setAtIndex(ValueLayout.JAVA_FLOAT, i, norm ? 1 : (float) random.nextDouble(-LARGEST, LARGEST));
        }
    }

    @Override
    public Optional<Nf4State> quantized(String name, SegmentAllocator allocator) {
        return Optional.empty();
    }
}
