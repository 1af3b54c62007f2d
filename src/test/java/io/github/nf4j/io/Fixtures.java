package io.github.nf4j.io;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;

/// Where the fixtures lie, and small helpers to look into tensors.
final class Fixtures {
    private Fixtures() {
    }

    static Path path(String name) {
        return Path.of("src", "test", "resources", "fixtures").resolve(name);
    }

    /// All elements of a weight, decoded.
    static float[] read(ModelFiles model, String name) {
        long[] shape = model.shape(name);
        long rows = shape.length < 2 ? 1 : shape[0];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocate(ValueLayout.JAVA_FLOAT, Shapes.elements(shape));
            model.readF32Rows(name, 0, rows, floats);
            return floats.toArray(ValueLayout.JAVA_FLOAT);
        }
    }

    static float[] f32(RawTensor tensor) {
        float[] floats = new float[(int) tensor.elements()];
        MemorySegment.copy(tensor.data(), ValueLayout.JAVA_FLOAT_UNALIGNED, 0, floats, 0, floats.length);
        return floats;
    }

    static MemorySegment segment(float... values) {
        return offHeap(MemorySegment.ofArray(values));
    }

    /// A copy outside the heap, freed by the garbage collector.
    static MemorySegment offHeap(MemorySegment values) {
        return Arena.ofAuto().allocate(values.byteSize(), 8).copyFrom(values);
    }
}
