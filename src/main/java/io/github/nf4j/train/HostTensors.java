package io.github.nf4j.train;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.MemoryOps;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;

/// F32 tensors on their way between a device and files.
final class HostTensors {
    private HostTensors() {
    }

    /// The elements of a tensor in host memory, row by row.
    static MemorySegment read(Stream stream, Tensor src, SegmentAllocator allocator) {
        MemorySegment floats = allocator.allocate(ValueLayout.JAVA_FLOAT, src.rows() * src.cols());
        MemoryOps.copy(stream, src, Tensor.ofHost(floats, DType.F32, src.rows(), src.cols()));
        stream.synchronize();
        return floats;
    }

    /// Overwrites a tensor with elements in host memory, aligned to 4 bytes.
    static void write(Stream stream, MemorySegment floats, Tensor dst) {
        MemoryOps.copy(stream, Tensor.ofHost(floats, DType.F32, dst.rows(), dst.cols()), dst);
        stream.synchronize();
    }
}
