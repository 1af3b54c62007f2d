package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// A model whose projections went through bitsandbytes 0.50.2 on the CPU (NF4, block 64, double quantization), as that of the
/// QLoRA fixture did. There `dequantize_4bit` takes the scale of element (row, column) from block
/// `row * (columns / 64) + column / 64`, which is another one than it was quantized with where 64 does not divide the columns.
/// So the fixture's `down_proj` is no NF4 weight: this source gives it as the dense matrix that came out.
record BitsandbytesOnCpu(WeightSource stored, Stream stream) implements WeightSource {
    private static final int BLOCK = 64;

    @Override
    public boolean has(String name) {
        return stored.has(name);
    }

    @Override
    public long[] shape(String name) {
        return stored.shape(name);
    }

    @Override
    public DType storedType(String name) {
        return isProjection(name) ? DType.F32 : stored.storedType(name);
    }

    @Override
    public void readF32Rows(String name, long firstRow, long rows, MemorySegment dst) {
        if (!isProjection(name)) {
            stored.readF32Rows(name, firstRow, rows, dst);
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            Nf4State state = quantize(name, arena);
            int columns = (int) state.cols();
            for (int i = 0; i < rows * columns; i++) {
                int row = (int) firstRow + i / columns;
                float scale = scale(state, row * (columns / BLOCK) + i % columns / BLOCK);
                dst.setAtIndex(ValueLayout.JAVA_FLOAT, i, code(state, firstRow * columns + i) * scale);
            }
        }
    }

    @Override
    public Optional<Nf4State> quantized(String name, SegmentAllocator allocator) {
        return isProjection(name) && shape(name)[1] % BLOCK == 0 ? Optional.of(quantize(name, allocator)) : Optional.empty();
    }

    private static boolean isProjection(String name) {
        return name.endsWith("_proj.weight");
    }

    private Nf4State quantize(String name, SegmentAllocator allocator) {
        long[] shape = shape(name);
        try (Tensor dense = Tensor.allocate(stream.device(), DType.F32, shape[0], shape[1])) {
            stored.readF32Rows(name, 0, shape[0], dense.segment());
            try (Nf4Weight weight = Nf4Weight.quantize(stream, dense, BLOCK, true)) {
                return Nf4Ops.exportState(stream, weight, allocator);
            }
        }
    }

    private static float code(Nf4State state, long element) {
        int pair = state.codes().get(ValueLayout.JAVA_BYTE, element / 2);
        return state.quantMap().getAtIndex(ValueLayout.JAVA_FLOAT, element % 2 == 0 ? pair >> 4 & 15 : pair & 15);
    }

    private static float scale(Nf4State state, long block) {
        int index = Byte.toUnsignedInt(state.absmax8().get(ValueLayout.JAVA_BYTE, block));
        return state.nestedMap().getAtIndex(ValueLayout.JAVA_FLOAT, index)
                * state.nestedAbsmax().getAtIndex(ValueLayout.JAVA_FLOAT, block / 256) + state.nestedOffset();
    }
}
