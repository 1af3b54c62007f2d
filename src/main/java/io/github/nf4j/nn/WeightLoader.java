package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.LinearWeight;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Brings a model's weights to a device one after the other. Beside what stays there, at most one weight and a piece of it are
/// in memory.
final class WeightLoader implements AutoCloseable {
    /// Elements that are decoded at a time, unless a row has more.
    private static final long PIECE = 1 << 22;

    private final Stream stream;
    private final WeightSource source;
    private final Quantization quantization;
    private final DType compute;
    private final List<Runnable> closers = new ArrayList<>();
    private long bytes;
    private long denseBytes;
    private boolean handedOver;

    WeightLoader(Stream stream, WeightSource source, Quantization quantization, DType compute) {
        this.stream = stream;
        this.source = source;
        this.quantization = quantization;
        this.compute = compute;
    }

    /// What frees the weights that were loaded; from now on they are the caller's to close.
    List<Runnable> handOver() {
        handedOver = true;
        return closers;
    }

    WeightMemory memory() {
        return new WeightMemory(bytes, denseBytes);
    }

    /// A dense matrix [rows, cols]: in BF16 where that loses nothing (it is stored so, or products round it so), else in F32.
    Tensor matrix(String name, long rows, long cols) {
        check(name, rows, cols);
        Tensor matrix = keep(decode(name, rows, cols, denseType(name)));
        count(matrix.rows() * matrix.cols() * matrix.dtype().bytes(), matrix.rows() * matrix.cols() * matrix.dtype().bytes());
        return matrix;
    }

    /// A vector [1, size] in F32.
    Tensor vector(String name, long size) {
        check(name, size);
        Tensor vector = keep(decode(name, 1, size, DType.F32));
        count(size * Float.BYTES, size * Float.BYTES);
        return vector;
    }

    /// The weight and, where the model has one, the bias of a projection: as NF4 if it is stored so or is to be quantized.
    LinearWeight projection(String path, long out, long in, boolean hasBias) {
        Tensor bias = hasBias ? vector(path + ".bias", out) : null;
        String name = path + ".weight";
        Optional<Nf4Weight> nf4 = nf4(name, out, in);
        return nf4.isPresent() ? LinearWeight.nf4(nf4.get(), bias) : LinearWeight.dense(matrix(name, out, in), bias);
    }

    private Optional<Nf4Weight> nf4(String name, long out, long in) {
        try (Arena arena = Arena.ofConfined()) {
            Optional<Nf4State> stored = source.quantized(name, arena);
            if (stored.isPresent()) {
                check(name, out, in);
                return Optional.of(keepNf4(imported(stored.get()), compute));
            }
        }
        return switch (quantization) {
            case Quantization.None _ -> Optional.empty();
            case Quantization.Nf4(int blockSize, boolean doubleQuant) -> {
                check(name, out, in);
                DType stored = source.storedType(name) == DType.BF16 ? DType.BF16 : DType.F32;
                try (Tensor dense = decode(name, out, in, stored)) {
                    Nf4Weight weight = keepNf4(Nf4Weight.quantize(stream, dense, blockSize, doubleQuant), denseType(name));
                    stream.synchronize();
                    yield Optional.of(weight);
                }
            }
        };
    }

    private Nf4Weight imported(Nf4State state) {
        Nf4Weight weight = Nf4Weight.allocate(stream.device(), state.rows(), state.cols(), state.blockSize(),
                state.doubleQuant());
        try {
            Nf4Ops.importState(stream, state, weight);
            stream.synchronize();
            return weight;
        } catch (RuntimeException e) {
            weight.close();
            throw e;
        }
    }

    private DType denseType(String name) {
        return source.storedType(name) == DType.BF16 || compute == DType.BF16 ? DType.BF16 : DType.F32;
    }

    /// A new tensor with the values of a weight, which come over in pieces of whole rows.
    private Tensor decode(String name, long rows, long cols, DType dtype) {
        long pieceRows = Math.clamp(PIECE / Math.max(cols, 1), 1, Math.max(rows, 1));
        Tensor dst = Tensor.allocate(stream.device(), dtype, rows, cols);
        try (Arena arena = Arena.ofConfined();
                Tensor floats = Tensor.allocate(stream.device(), DType.F32, dtype == DType.F32 ? 0 : pieceRows, cols)) {
            MemorySegment piece = arena.allocate(ValueLayout.JAVA_FLOAT, pieceRows * cols);
            for (long row = 0; row < rows; row += pieceRows) {
                long count = Math.min(pieceRows, rows - row);
                source.readF32Rows(name, row, count, piece);
                Tensor decoded = Tensor.ofHost(piece, DType.F32, count, cols);
                if (dtype == DType.F32) {
                    MemoryOps.copy(stream, decoded, dst.rows(row, count));
                } else {
                    MemoryOps.copy(stream, decoded, floats.rows(0, count));
                    MemoryOps.cast(stream, floats.rows(0, count), dst.rows(row, count));
                }
                stream.synchronize();
            }
            return dst;
        } catch (RuntimeException e) {
            dst.close();
            throw e;
        }
    }

    private void check(String name, long... shape) {
        if (!source.has(name)) {
            throw new IllegalArgumentException("weight " + name + " is missing");
        }
        if (!Arrays.equals(source.shape(name), shape)) {
            throw new IllegalArgumentException("weight " + name + " has the shape " + Arrays.toString(source.shape(name))
                    + "; the model's configuration makes it " + Arrays.toString(shape));
        }
    }

    private Tensor keep(Tensor tensor) {
        closers.add(tensor::close);
        return tensor;
    }

    private Nf4Weight keepNf4(Nf4Weight weight, DType dense) {
        closers.add(weight::close);
        count(weight.bytes(), weight.rows() * weight.cols() * dense.bytes());
        return weight;
    }

    private void count(long deviceBytes, long unquantizedBytes) {
        bytes += deviceBytes;
        denseBytes += unquantizedBytes;
    }

    /// Frees what was loaded, unless it was handed over.
    @Override
    public void close() {
        if (!handedOver) {
            closers.forEach(Runnable::run);
        }
    }
}
