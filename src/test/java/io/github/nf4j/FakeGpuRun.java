package io.github.nf4j;

import io.github.nf4j.op.MemoryOps;

/// What [FakeGpuTest] runs in a JVM of its own: uses a GPU, says what each call ends with, and closes everything.
public final class FakeGpuRun {
    private FakeGpuRun() {
    }

    /// @param arguments how many rows a tensor has that is allocated on the way
    public static void main(String[] arguments) {
        long rows = Long.parseLong(arguments[0]);
        try (Device device = Device.open(Backend.CUDA);
                Stream stream = device.newStream(1 << 16);
                Tensor tensor = Tensor.allocate(device, DType.F32, 4, 4);
                Nf4Weight weight = Nf4Weight.allocate(device, 16, 64, 64, true)) {
            report("allocate", () -> Tensor.allocate(device, DType.F32, rows, 1024).close());
            report("fill", () -> MemoryOps.fill(stream, 1, tensor));
            report("fill", () -> MemoryOps.fill(stream, 1, tensor));
            report("quantize", () -> Nf4Weight.quantize(stream, tensor, 64, true).close());
            report("synchronize", stream::synchronize);
            report("newStream", () -> device.newStream().close());
            report("info", device::info);
        }
        System.out.println("closed");
    }

    private static void report(String what, Runnable call) {
        try {
            call.run();
            System.out.println(what + ": done");
        } catch (Nf4jException e) {
            System.out.println(what + ": " + e.getClass().getSimpleName() + ": " + e.getMessage());
        }
    }
}
