package io.github.nf4j.bench.cases;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.result.CaseResult.Verify;
import io.github.nf4j.op.MemoryOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// Computes the same on the `reference` backend, from the buffers that are timed, and keeps the largest difference.
///
/// The reference is scalar, so large shapes are compared in a few rows only: the first and the last ones, where tiles begin
/// and end.
public final class Verifier implements AutoCloseable {
    /// Multiplications and additions that one comparison may cost: about a second.
    private static final double OPERATIONS = 4e8;
    private static final long FEWEST_ROWS = 2;

    private final Device device = Device.open(Backend.REFERENCE);
    private final Stream stream = device.newStream();
    private final Arena arena = Arena.ofConfined();
    private final List<Nf4Weight> owned = new ArrayList<>();
    private final Stream candidate;
    private final DType dtype;
    private double worst;
    private long rows;

    /// @param candidate stream of the device that is measured
    /// @param dtype     of the activations, which decides how much rounding is allowed
    public Verifier(Stream candidate, DType dtype) {
        this.candidate = candidate;
        this.dtype = dtype;
    }

    /// Sums in another order cost a few roundings of F32; an output in BF16 costs one of 2^-9.
    private static double bound(DType dtype) {
        return dtype == DType.F32 ? 1e-5 : 5e-3;
    }

    public Verify result() {
        return new Verify("relative 2-norm", Double.isFinite(worst) ? worst : null, bound(dtype), rows, worst <= bound(dtype));
    }

    Stream stream() {
        return stream;
    }

    /// Ranges [from, count] of rows that can be afforded: all, or some at both ends.
    List<long[]> rows(long m, double operationsPerRow) {
        long affordable = Math.max(FEWEST_ROWS, (long) (OPERATIONS / operationsPerRow));
        return affordable >= m
                ? List.of(new long[] {0, m})
                : List.of(new long[] {0, affordable / 2}, new long[] {m - affordable / 2, affordable / 2});
    }

    /// The same tensor for the reference: the same memory where the host can reach it, else a copy.
    Tensor view(Tensor tensor) {
        if (candidate.device().isHostAccessible()) {
            return Tensor.ofHost(tensor.segment(), tensor.dtype(), tensor.rows(), tensor.cols(), tensor.ld());
        }
        long bytes = tensor.rows() * tensor.cols() * tensor.dtype().bytes();
        Tensor host = Tensor.ofHost(arena.allocate(bytes, 64), tensor.dtype(), tensor.rows(), tensor.cols());
        MemoryOps.copy(candidate, tensor, host);
        candidate.synchronize();
        return host;
    }

    Tensor zeros(DType type, long rowCount, long cols) {
        return Tensor.ofHost(arena.allocate(rowCount * cols * type.bytes(), 64), type, rowCount, cols);
    }

    /// The reference's own quantization of what the candidate's weight was quantized from.
    Nf4Weight quantized(Tensor dense) {
        return quantized(dense, true);
    }

    Nf4Weight quantized(Tensor dense, boolean doubleQuant) {
        Nf4Weight weight = Nf4Weight.quantize(stream, view(dense), Buffers.BLOCK_SIZE, doubleQuant);
        owned.add(weight);
        return weight;
    }

    /// @param got  on the measured device
    /// @param want on the reference, of the same shape and type
    void compare(Tensor got, Tensor want) {
        MemorySegment actual = floats(view(got));
        MemorySegment expected = floats(want);
        double error = 0;
        double size = 0;
        for (long i = 0; i < expected.byteSize() / Float.BYTES; i++) {
            double value = expected.getAtIndex(ValueLayout.JAVA_FLOAT, i);
            double delta = actual.getAtIndex(ValueLayout.JAVA_FLOAT, i) - value;
            error += delta * delta;
            size += value * value;
        }
        double difference = error == 0 ? 0 : Math.sqrt(error / size);
        worst = Double.isNaN(difference) || difference > worst ? difference : worst;
        rows += want.rows();
    }

    /// For what is right or wrong, without a measure between.
    void require(boolean holds) {
        worst = holds ? worst : Double.POSITIVE_INFINITY;
        rows++;
    }

    private MemorySegment floats(Tensor tensor) {
        Tensor floats = zeros(DType.F32, tensor.rows(), tensor.cols());
        MemoryOps.cast(stream, tensor, floats);
        return floats.segment();
    }

    @Override
    public void close() {
        owned.forEach(Nf4Weight::close);
        arena.close();
        stream.close();
        device.close();
    }
}
