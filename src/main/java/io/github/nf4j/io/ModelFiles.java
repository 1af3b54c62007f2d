package io.github.nf4j.io;

import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/// The weights of a model on disk, by their Hugging Face names (`model.layers.0.self_attn.q_proj.weight`), whether they
/// lie in a folder of safetensors or in a GGUF file.
///
/// Files are mapped and decoded by rows into memory of the caller; nothing is copied to the heap.
public final class ModelFiles {
    private final ModelConfig config;
    private final WeightSource source;

    private ModelFiles(ModelConfig config, WeightSource source) {
        this.config = config;
        this.source = source;
    }

    /// Opens a model's folder (`config.json` with `model.safetensors`, or with shards and their index) or a `.gguf`
    /// file. The weights live as long as the arena. [#validate] checks them against the configuration.
    ///
    /// @throws FileFormatException if a file breaks its format or describes a model that nf4j does not implement
    public static ModelFiles open(Path model, Arena arena) throws IOException {
        if (Files.isDirectory(model)) {
            return new ModelFiles(HuggingFaceConfig.read(model), SafetensorsWeights.open(model, arena));
        }
        if (!Files.exists(model)) {
            throw new NoSuchFileException(model.toString(), null,
                    "no such model; expected a folder with config.json or a .gguf file");
        }
        Gguf gguf = Gguf.open(model, arena);
        ModelConfig config = GgufConfig.read(gguf);
        return new ModelFiles(config, new GgufWeights(gguf, config));
    }

    public ModelConfig config() {
        return config;
    }

    public boolean has(String name) {
        return source.has(name);
    }

    /// Shape of a weight, `[out, in]` for a matrix. Where bitsandbytes packed it, the shape before that.
    ///
    /// @throws FileFormatException here and below if there is no weight of that name
    public long[] shape(String name) {
        Optional<BnbWeight> packed = bnb(name);
        return packed.isPresent() ? packed.get().shape() : source.shape(name);
    }

    /// Type that a weight is stored in: F32, F16 or BF16. F32 for GGUF's quantized types, which decode to it; U8 for
    /// weights that bitsandbytes packed.
    public DType storedType(String name) {
        return source.storedType(name);
    }

    /// Decodes rows of a weight to F32.
    ///
    /// @param name     a weight that is not packed by bitsandbytes
    /// @param firstRow first row; a vector counts as one row
    /// @param rows     number of rows
    /// @param dst      `rows * columns` floats, row-major, aligned to 4 bytes
    /// @throws FileFormatException       if a value is NaN or infinite
    /// @throws IndexOutOfBoundsException if the weight has no such rows
    public void readF32Rows(String name, long firstRow, long rows, MemorySegment dst) {
        if (isPacked(name)) {
            throw new IllegalArgumentException("weight '" + name + "' is packed by bitsandbytes; read it with bnb()");
        }
        long[] shape = source.shape(name);
        long columns = shape.length == 0 ? 1 : shape[shape.length - 1];
        long allRows = shape.length < 2 ? 1 : Shapes.elements(shape) / Math.max(columns, 1);
        Objects.checkFromIndexSize(firstRow, rows, allRows);
        long count = Math.multiplyExact(rows, columns);
        MemorySegment floats = dst.asSlice(0, Math.multiplyExact(count, ValueLayout.JAVA_FLOAT.byteSize()));
        source.decodeRows(name, firstRow, rows, floats);
        Decoders.requireFinite(source.file(name), name, floats, count, firstRow * columns);
    }

    /// A weight as it lies in the file, where that is F32, F16 or BF16 in natural row order; empty otherwise. NaN and
    /// infinity are not checked.
    public Optional<RawTensor> raw(String name) {
        return source.raw(name);
    }

    /// A weight that bitsandbytes packed as NF4; empty if it is stored otherwise.
    ///
    /// @throws FileFormatException if its parts contradict each other, or if it is packed in another way
    public Optional<BnbWeight> bnb(String name) {
        return isPacked(name) ? Optional.of(BnbWeight.read((SafetensorsWeights) source, name)) : Optional.empty();
    }

    private boolean isPacked(String name) {
        return config.bnb4bit() && source.storedType(name) == DType.U8;
    }

    /// Checks that every weight that the configuration asks for is there and has the shape that follows from it.
    ///
    /// @throws FileFormatException naming the first weight that is missing or contradicts the configuration
    public void validate() {
        for (Map.Entry<String, long[]> expected : config.parameterShapes().entrySet()) {
            String name = expected.getKey();
            if (!has(name)) {
                throw new FileFormatException(source.file(name), "tensor '" + name + "'", "missing");
            }
            if (!Arrays.equals(shape(name), expected.getValue())) {
                throw new FileFormatException(source.file(name), "tensor '" + name + "'", "shape "
                        + Shapes.text(shape(name))
                        + " contradicts the configuration, by which it is " + Shapes.text(expected.getValue()));
            }
        }
    }
}
