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
import java.util.ArrayList;
import java.util.List;

/// The cpu backend on one thread, where no call waits for another thread, and memory for it.
final class SmallDevice implements AutoCloseable {
    private final Arena arena = Arena.ofConfined();
    private final Device device = Device.open(new DeviceOptions(Backend.CPU, 0, 1, Isa.AUTO));
    private final Stream stream = device.newStream();
    private final List<Tensor> tensors = new ArrayList<>();

    Stream stream() {
        return stream;
    }

    /// Not zeros, in nf4j's own memory, as those of a training step.
    Tensor tensor(long rows, long cols) {
        return filled(Tensor.allocate(device, DType.F32, rows, cols));
    }

    /// The same in memory of the caller's.
    Tensor view(long rows, long cols) {
        return filled(Tensor.ofHost(arena.allocate(rows * cols * Float.BYTES, 64), DType.F32, rows, cols));
    }

    private Tensor filled(Tensor tensor) {
        tensors.add(tensor);
        MemoryOps.fill(stream, 0.5, tensor);
        return tensor;
    }

    /// The number 0, as a token or a label.
    Tensor zero() {
        Tensor tensor = Tensor.allocate(device, DType.I32, 1, 1);
        tensors.add(tensor);
        tensor.setInts(0);
        return tensor;
    }

    @Override
    public void close() {
        tensors.forEach(Tensor::close);
        stream.close();
        device.close();
        arena.close();
    }
}
