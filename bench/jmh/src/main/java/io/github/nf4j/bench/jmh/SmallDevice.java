package io.github.nf4j.bench.jmh;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.DeviceOptions;
import io.github.nf4j.Isa;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.MemoryOps;
import java.lang.foreign.Arena;

/// The cpu backend on one thread, where no call waits for another thread, and memory for it.
final class SmallDevice implements AutoCloseable {
    private final Arena arena = Arena.ofConfined();
    private final Device device = Device.open(new DeviceOptions(Backend.CPU, 0, 1, Isa.AUTO));
    private final Stream stream = device.newStream();

    Stream stream() {
        return stream;
    }

    /// Not zeros.
    Tensor tensor(long rows, long cols) {
        Tensor tensor = Tensor.ofHost(arena.allocate(rows * cols * Float.BYTES, 64), DType.F32, rows, cols);
        MemoryOps.fill(stream, 0.5, tensor);
        return tensor;
    }

    /// The number 0, as a token or a label.
    Tensor zero() {
        return Tensor.ofHost(arena.allocate(Integer.BYTES, 64), DType.I32, 1, 1);
    }

    @Override
    public void close() {
        stream.close();
        device.close();
        arena.close();
    }
}
