package io.github.nf4j;

import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_nf4_weight;
import io.github.nf4j.internal.Call;
import io.github.nf4j.internal.Handle;
import io.github.nf4j.internal.Status;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// A frozen weight matrix [rows = out, cols = in] in 4 bits (NF4), in the layout of its device's backend. Blocks of
/// `blockSize` elements, each with its largest magnitude, run over the flattened matrix, so they may straddle rows.
///
/// It owns its memory. It may be read by several streams at a time.
public final class Nf4Weight implements AutoCloseable {
    private final Memory memory;
    private final long rows;
    private final long cols;
    private final int blockSize;
    private final boolean doubleQuant;
    private final MemorySegment struct = nf4j_nf4_weight.allocate(Arena.ofAuto());

    private Nf4Weight(Memory memory, long rows, long cols, int blockSize, boolean doubleQuant) {
        this.memory = memory;
        this.rows = rows;
        this.cols = cols;
        this.blockSize = blockSize;
        this.doubleQuant = doubleQuant;
        nf4j_nf4_weight.struct_size(struct, (int) nf4j_nf4_weight.sizeof());
        nf4j_nf4_weight.double_quant(struct, doubleQuant ? 1 : 0);
        nf4j_nf4_weight.rows(struct, rows);
        nf4j_nf4_weight.cols(struct, cols);
        nf4j_nf4_weight.block_size(struct, blockSize);
        nf4j_nf4_weight.data(struct, memory.segment());
        nf4j_nf4_weight.bytes(struct, memory.bytes());
    }

    /// Bytes of device memory that a weight of this shape takes.
    public static long bytes(Device device, long rows, long cols, int blockSize, boolean doubleQuant) {
        device.handle().acquire();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ValueLayout.JAVA_LONG);
            Status.check(Nf4jH.nf4j_nf4_weight_bytes(device.handle().pointer(), rows, cols, blockSize,
                    doubleQuant ? 1 : 0, result));
            return result.get(ValueLayout.JAVA_LONG, 0);
        } finally {
            device.handle().release();
        }
    }

    /// A weight with undefined contents, to be filled by quantizing or importing.
    ///
    /// @param blockSize   32, 64, ..., 4096
    /// @param doubleQuant whether the blocks' magnitudes are kept in 8 bits, in blocks of 256
    public static Nf4Weight allocate(Device device, long rows, long cols, int blockSize, boolean doubleQuant) {
        long bytes = bytes(device, rows, cols, blockSize, doubleQuant);
        return new Nf4Weight(Memory.allocate(device, bytes), rows, cols, blockSize, doubleQuant);
    }

    /// A new weight that is `w` (F32, F16 or BF16, contiguous) quantized as bitsandbytes does it.
    ///
    /// @throws IllegalArgumentException if `w` holds NaN or infinity
    public static Nf4Weight quantize(Stream stream, Tensor w, int blockSize, boolean doubleQuant) {
        Nf4Weight weight = allocate(stream.device(), w.rows(), w.cols(), blockSize, doubleQuant);
        try (Call call = Call.on(stream, "nf4.quantize")) {
            MemorySegment input = call.input(w);
            MemorySegment packed = call.weight(weight);
            call.check(Nf4jH.nf4j_nf4_quantize(call.stream(), input, packed));
            return weight;
        } catch (RuntimeException e) {
            weight.close();
            throw e;
        }
    }

    public Device device() {
        return memory.device();
    }

    public long rows() {
        return rows;
    }

    public long cols() {
        return cols;
    }

    public int blockSize() {
        return blockSize;
    }

    public boolean doubleQuant() {
        return doubleQuant;
    }

    /// Bytes of device memory that it takes.
    public long bytes() {
        return memory.bytes();
    }

    /// Its memory, in the backend's own layout; see [Memory#segment].
    public MemorySegment segment() {
        return memory.segment();
    }

    /// Frees its memory. Closing twice does nothing.
    ///
    /// @throws IllegalStateException if an operation is using it
    @Override
    public void close() {
        memory.close();
    }

    @Override
    public String toString() {
        return "NF4 weight [" + rows + ", " + cols + "] with block size " + blockSize
                + (doubleQuant ? ", double quantization" : "");
    }

    Handle handle() {
        return memory.handle();
    }

    /// The `nf4j_nf4_weight`, which is there as long as this object.
    MemorySegment struct() {
        return struct;
    }
}
