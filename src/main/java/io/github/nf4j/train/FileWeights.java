package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.io.BnbWeight;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.nn.WeightSource;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.Optional;

/// The weights of model files, as models ask for them.
record FileWeights(ModelFiles files) implements WeightSource {
    /// The block size of double quantization that kernels know, which is the one that bitsandbytes writes.
    private static final int NESTED_BLOCK = 256;

    @Override
    public boolean has(String name) {
        return files.has(name);
    }

    @Override
    public long[] shape(String name) {
        return files.shape(name);
    }

    @Override
    public DType storedType(String name) {
        return files.storedType(name);
    }

    @Override
    public void readF32Rows(String name, long firstRow, long rows, MemorySegment dst) {
        files.readF32Rows(name, firstRow, rows, dst);
    }

    @Override
    public Optional<Nf4State> quantized(String name, SegmentAllocator allocator) {
        return files.bnb(name).map(weight -> state(name, weight, allocator));
    }

    private static Nf4State state(String name, BnbWeight weight, SegmentAllocator allocator) {
        long rows = weight.shape()[0];
        long cols = weight.shape()[1];
        MemorySegment quantMap = aligned(weight.quantMap(), allocator);
        if (weight.nested().isEmpty()) {
            return Nf4State.plain(rows, cols, weight.blockSize(), weight.codes(), aligned(weight.absmax(), allocator), quantMap);
        }
        BnbWeight.Nested nested = weight.nested().get();
        if (nested.blockSize() != NESTED_BLOCK) {
            throw new IllegalArgumentException("weight " + name + ": nested_blocksize is " + nested.blockSize() + "; nf4j reads "
                    + NESTED_BLOCK);
        }
        return Nf4State.nested(rows, cols, weight.blockSize(), weight.codes(), weight.absmax(), quantMap,
                aligned(nested.absmax(), allocator), aligned(nested.map(), allocator), nested.offset());
    }

    /// A copy: tensors may lie at any address of a file.
    private static MemorySegment aligned(MemorySegment floats, SegmentAllocator allocator) {
        return allocator.allocate(floats.byteSize(), Float.BYTES).copyFrom(floats);
    }
}
