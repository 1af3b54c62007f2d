package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.MemoryOps;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;

/// Small things on their way between Java arrays and a device: token ids, losses, initial factors.
final class HostCopies {
    private HostCopies() {
    }

    /// Copies `values` into an I32 tensor.
    static void write(Stream stream, int[] values, Tensor dst) {
        try (Arena arena = Arena.ofConfined()) {
            Tensor host = Tensor.ofHost(arena.allocateFrom(ValueLayout.JAVA_INT, values), DType.I32, dst.rows(), dst.cols());
            MemoryOps.copy(stream, host, dst);
            stream.synchronize();
        }
    }

    /// Copies `values` into an I64 tensor.
    static void write(Stream stream, long[] values, Tensor dst) {
        try (Arena arena = Arena.ofConfined()) {
            Tensor host = Tensor.ofHost(arena.allocateFrom(ValueLayout.JAVA_LONG, values), DType.I64, dst.rows(), dst.cols());
            MemoryOps.copy(stream, host, dst);
            stream.synchronize();
        }
    }

    /// Copies `values` into an F32 tensor.
    static void write(Stream stream, float[] values, Tensor dst) {
        try (Arena arena = Arena.ofConfined()) {
            Tensor host = Tensor.ofHost(arena.allocateFrom(ValueLayout.JAVA_FLOAT, values), DType.F32, dst.rows(), dst.cols());
            MemoryOps.copy(stream, host, dst);
            stream.synchronize();
        }
    }

    /// The elements of an F32 tensor.
    static float[] read(Stream stream, Tensor src) {
        try (Arena arena = Arena.ofConfined()) {
            Tensor host = Tensor.ofHost(arena.allocate(ValueLayout.JAVA_FLOAT, src.rows() * src.cols()), DType.F32, src.rows(),
                    src.cols());
            MemoryOps.copy(stream, src, host);
            stream.synchronize();
            return host.toFloatArray();
        }
    }
}
