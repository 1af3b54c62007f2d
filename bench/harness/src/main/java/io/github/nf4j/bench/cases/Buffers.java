package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.op.MemoryOps;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/// The memory and the files of one case: every tensor in as many copies as there are slots, so that calls can rotate through more memory
/// than the caches hold. Copies have equal contents, so whichever slot a call takes, it does the same work.
public final class Buffers implements AutoCloseable {
    /// Random numbers repeat after this many elements: prime, so rows of no matrix are equal.
    private static final int PERIOD = 1_048_573;
    static final int BLOCK_SIZE = 64;

    private final Stream stream;
    private final int slots;
    private final SplittableRandom random;
    private final List<AutoCloseable> owned = new ArrayList<>();

    /// @param seed of all random contents
    public Buffers(Stream stream, int slots, long seed) {
        this.stream = stream;
        this.slots = slots;
        this.random = new SplittableRandom(seed);
    }

    public int slots() {
        return slots;
    }

    Stream stream() {
        return stream;
    }

    Device device() {
        return stream.device();
    }

    /// Zeros.
    Tensor[] zeros(DType dtype, long rows, long cols) {
        return copies(slots, () -> {
            Tensor tensor = Tensor.allocate(device(), dtype, rows, cols);
            owned.add(tensor);
            if (device().isHostAccessible()) {
                tensor.segment().fill((byte) 0);
            } else {
                MemoryOps.fill(stream, 0, tensor);
            }
            return tensor;
        });
    }

    /// Uniform in [-1, 1]: never zeros or ones, which take less power and may run faster.
    Tensor[] random(DType dtype, long rows, long cols) {
        return uniform(dtype, rows, cols, -1, 1);
    }

    Tensor[] uniform(DType dtype, long rows, long cols, double low, double high) {
        return uniform(slots, dtype, rows, cols, low, high);
    }

    /// Zeros that all slots share.
    Tensor sharedZeros(DType dtype, long rows, long cols) {
        try (Arena arena = Arena.ofConfined()) {
            return filled(1, dtype, rows, cols, arena.allocate(cols * dtype.bytes(), dtype.bytes()))[0];
        }
    }

    private Tensor[] uniform(int count, DType dtype, long rows, long cols, double low, double high) {
        int period = (int) Math.min(PERIOD, rows * cols);
        try (Arena arena = Arena.ofConfined()) {
            Tensor pattern = Tensor.ofHost(arena.allocate((long) period * dtype.bytes(), dtype.bytes()), dtype, 1, period);
            float[] values = new float[period];
            for (int i = 0; i < period; i++) {
                values[i] = (float) random.nextDouble(low, high);
            }
            pattern.copyFrom(values);
            return filled(count, dtype, rows, cols, pattern.segment());
        }
    }

    /// Integers in [0, bound), [1, count], others in each slot: tables are looked up in other places then.
    Tensor[] integers(int count, int bound) {
        Tensor[] tensors = new Tensor[slots];
        try (Arena arena = Arena.ofConfined()) {
            for (int i = 0; i < slots; i++) {
                int[] values = random.ints(count, 0, bound).toArray();
                tensors[i] = filled(1, DType.I32, 1, count, arena.allocateFrom(ValueLayout.JAVA_INT, values))[0];
            }
        }
        return tensors;
    }

    /// `dense` [rows, cols] in 4 bits, with double quantization, as QLoRA stores its base.
    Nf4Weight[] quantized(Tensor dense) {
        Nf4Weight[] weights = new Nf4Weight[slots];
        for (int i = 0; i < slots; i++) {
            if (i > 0 && device().isHostAccessible()) {
                weights[i] = Nf4Weight.allocate(device(), dense.rows(), dense.cols(), BLOCK_SIZE, true);
                weights[i].segment().copyFrom(weights[0].segment());
            } else {
                weights[i] = Nf4Weight.quantize(stream, dense, BLOCK_SIZE, true);
            }
            owned.add(weights[i]);
        }
        return weights;
    }

    /// One matrix for all slots: a table larger than any cache, or what [#quantized] and the reference start from.
    Tensor source(DType dtype, long rows, long cols) {
        return uniform(1, dtype, rows, cols, -1, 1)[0];
    }

    /// As many copies of `tensor` as there are slots.
    Tensor[] copiesOf(Tensor tensor) {
        Tensor[] targets = zeros(tensor.dtype(), tensor.rows(), tensor.cols());
        for (Tensor target : targets) {
            MemoryOps.copy(stream, tensor, target);
        }
        return targets;
    }

    private Tensor[] filled(int count, DType dtype, long rows, long cols, MemorySegment pattern) {
        try (Arena arena = Arena.ofConfined()) {
            boolean host = device().isHostAccessible();
            MemorySegment staging = host ? null : arena.allocate(rows * cols * dtype.bytes(), dtype.bytes());
            if (!host) {
                repeat(pattern, staging);
            }
            return copies(count, () -> {
                Tensor tensor = Tensor.allocate(device(), dtype, rows, cols);
                owned.add(tensor);
                if (host) {
                    repeat(pattern, tensor.segment());
                } else {
                    MemoryOps.copy(stream, Tensor.ofHost(staging, dtype, rows, cols), tensor);
                    stream.synchronize();
                }
                return tensor;
            });
        }
    }

    private static void repeat(MemorySegment pattern, MemorySegment target) {
        for (long at = 0; at < target.byteSize(); at += pattern.byteSize()) {
            long bytes = Math.min(pattern.byteSize(), target.byteSize() - at);
            MemorySegment.copy(pattern, 0, target, at, bytes);
        }
    }

    /// What fills a folder.
    @FunctionalInterface
    interface Content {
        void writeTo(Path folder) throws IOException;
    }

    /// Folders of equal contents, one for each slot, where the system keeps temporary files.
    Path[] folders(Content content) {
        Path[] folders = new Path[slots];
        try {
            for (int i = 0; i < slots; i++) {
                folders[i] = own(new TemporaryFolder()).path();
                if (i == 0) {
                    content.writeTo(folders[0]);
                } else {
                    for (Path file : TemporaryFolder.files(folders[0])) {
                        Files.copy(file, folders[i].resolve(file.getFileName()));
                    }
                }
            }
            return folders;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /// Closes something with these buffers.
    <T extends AutoCloseable> T own(T resource) {
        owned.add(resource);
        return resource;
    }

    private static Tensor[] copies(int count, Supplier<Tensor> one) {
        Tensor[] tensors = new Tensor[count];
        for (int i = 0; i < count; i++) {
            tensors[i] = one.get();
        }
        return tensors;
    }

    @Override
    public void close() {
        for (AutoCloseable resource : owned.reversed()) {
            try {
                resource.close();
            } catch (Exception e) {
                throw new IllegalStateException(resource + " cannot be closed", e);
            }
        }
        owned.clear();
    }
}
