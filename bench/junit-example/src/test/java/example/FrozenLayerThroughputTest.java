package example;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.junit.ThroughputTest;
import io.github.nf4j.op.MemoryOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/// Guards what this project chose nf4j for: a token through a packed layer must not take longer than decoding the layer first.
class FrozenLayerThroughputTest {
    private static final int WIDTH = 1024;

    private static Device device;
    private static Stream stream;
    private static Nf4Weight weight;
    private static Tensor dense;
    private static Tensor x;
    private static Tensor y;
    private static FrozenLayer layer;

    @BeforeAll
    static void open() {
        device = Device.open(Backend.CPU);
        stream = device.newStream();
        dense = tensor(WIDTH);
        x = tensor(1);
        y = tensor(1);
        weight = Nf4Weight.quantize(stream, dense, 64, true);
        layer = new FrozenLayer(stream, weight, dense);
    }

    private static Tensor tensor(int rows) {
        Tensor tensor = Tensor.allocate(device, DType.F32, rows, WIDTH);
        MemoryOps.fill(stream, 0.5, tensor);
        return tensor;
    }

    @AfterAll
    static void close() {
        weight.close();
        dense.close();
        x.close();
        y.close();
        stream.close();
        device.close();
    }

    @ThroughputTest(baseline = "decodeFirst", atLeast = 1.5)
    void fused() {
        layer.fused(x, y);
    }

    void decodeFirst() {
        layer.decodeFirst(x, y);
    }
}
