package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.io.BnbWeight;
import io.github.nf4j.io.ModelFiles;
import io.github.nf4j.io.PeftAdapter;
import io.github.nf4j.io.PeftConfig;
import io.github.nf4j.io.RawTensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Optional;

/// Models and adapters among the fixtures, on a device.
final class Checkpoints {
    private Checkpoints() {
    }

    static Path path(String fixture) {
        return Path.of("src", "test", "resources", "fixtures").resolve(fixture);
    }

    static LlamaModel load(Stream stream, String fixture, Quantization quantization, DType compute) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            ModelFiles files = ModelFiles.open(path(fixture), arena);
            return LlamaModel.load(stream, files.config(), new Files(files), quantization, compute);
        }
    }

    static LlamaModel load(Stream stream, String fixture) throws IOException {
        return load(stream, fixture, Quantization.none(), DType.F32);
    }

    /// Puts the adapter of a fixture on a model.
    static void attach(LlamaModel model, String fixture) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            PeftAdapter adapter = PeftAdapter.open(path(fixture), arena);
            PeftConfig config = adapter.config();
            for (Linear projection : model.projections()) {
                PeftAdapter.Matrices matrices = adapter.modules().get(projection.path());
                if (matrices != null) {
                    LoraAdapter attached = projection.attach(model.stream().device(),
                            new LoraSettings(config.rank(projection.path()), config.alpha(projection.path()),
                                    config.useRslora(), config.dropout()));
                    attached.a().value().copyFrom(floats(matrices.a()));
                    attached.b().value().copyFrom(floats(matrices.b()));
                }
            }
        }
    }

    private static float[] floats(RawTensor tensor) {
        float[] floats = new float[(int) tensor.elements()];
        MemorySegment.copy(tensor.data(), ValueLayout.JAVA_FLOAT_UNALIGNED, 0, floats, 0, floats.length);
        return floats;
    }

    /// The rows of an I64 tensor.
    static int[][] rows(Tensor ids) {
        int[][] rows = new int[(int) ids.rows()][(int) ids.cols()];
        for (int row = 0; row < rows.length; row++) {
            for (int col = 0; col < rows[row].length; col++) {
                rows[row][col] = (int) ids.segment().getAtIndex(ValueLayout.JAVA_LONG, row * ids.ld() + col);
            }
        }
        return rows;
    }

    /// Fails unless every element is within `tolerance` of the largest expected magnitude.
    static void assertClose(String what, float[] expected, float[] actual, double tolerance) {
        if (expected.length != actual.length) {
            throw new AssertionError(what + ": " + actual.length + " elements, expected " + expected.length);
        }
        double largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        for (int i = 0; i < expected.length; i++) {
            // written so that NaN fails
            if (!(Math.abs(actual[i] - expected[i]) <= tolerance * largest)) {
                throw new AssertionError(what + ": element " + i + " is " + actual[i] + ", expected " + expected[i] + " within "
                        + tolerance * largest);
            }
        }
    }

    /// Model files as the loader reads them.
    record Files(ModelFiles files) implements WeightSource {
        @Override
        public boolean has(String name) {
            return files.has(name);
        }

        @Override
        public long[] shape(String name) {
            return files.shape(name);
        }

        @Override
        public DType storedType(String name) {
            return files.storedType(name);
        }

        @Override
        public void readF32Rows(String name, long firstRow, long rows, MemorySegment dst) {
            files.readF32Rows(name, firstRow, rows, dst);
        }

        @Override
        public Optional<Nf4State> quantized(String name, SegmentAllocator allocator) {
            return files.bnb(name).map(weight -> state(weight, allocator));
        }

        private static Nf4State state(BnbWeight weight, SegmentAllocator allocator) {
            long[] shape = weight.shape();
            MemorySegment codes = aligned(weight.codes(), allocator);
            MemorySegment absmax = aligned(weight.absmax(), allocator);
            MemorySegment map = aligned(weight.quantMap(), allocator);
            return weight.nested().isEmpty()
                    ? Nf4State.plain(shape[0], shape[1], weight.blockSize(), codes, absmax, map)
                    : Nf4State.nested(shape[0], shape[1], weight.blockSize(), codes, absmax, map,
                            aligned(weight.nested().get().absmax(), allocator), aligned(weight.nested().get().map(), allocator),
                            weight.nested().get().offset());
        }

        private static MemorySegment aligned(MemorySegment segment, SegmentAllocator allocator) {
            return allocator.allocate(segment.byteSize(), 64).copyFrom(segment);
        }
    }
}
