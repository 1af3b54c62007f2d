package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.Nf4State;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bench.cases.Models.Model;
import io.github.nf4j.io.AtomicFile;
import io.github.nf4j.io.RawTensor;
import io.github.nf4j.io.Safetensors;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.WeightSource;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.Nf4Ops;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;

/// A model of a real size with random weights: what training and loading are measured on without a download. It can be had as it is, and
/// in the files that other programs write.
///
/// Norms are 1, every other weight is a whole number of [#STEP]s in -127 to 127. F32, BF16 and GGUF's Q8_0 have each of them exactly, so
/// whatever file is read, the same model has to come out of it.
public final class SyntheticModel implements WeightSource {
    private static final float STEP = 0x1p-12f; // of the deviation 0.018: Llama models are initialised with 0.02

    private static final int PERIOD = 1_048_573; // prime, so that no two rows are equal
    /// For models whose tokenizer nobody asks for.
    private static final SyntheticTokenizer TOKENIZER = new SyntheticTokenizer(512, 1);

    private final ModelConfig config;
    private final Map<String, long[]> shapes;
    private final byte[] pattern = new byte[PERIOD];

    /// @param layers of the model's own number, or fewer
    public SyntheticModel(Model model, int layers, long seed) {
        this.config = model.config(layers);
        this.shapes = config.parameterShapes();
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < PERIOD; i++) {
            pattern[i] = (byte) random.nextInt(-127, 128);
        }
    }

    public ModelConfig config() {
        return config;
    }

    /// Whether a weight is that of a projection, the only ones that are quantized.
    static boolean isProjection(String name) {
        return name.endsWith("_proj.weight");
    }

    /// The `at`-th element of a matrix, in steps.
    private byte steps(String name, long at) {
        return pattern[(int) ((Math.floorMod(name.hashCode(), PERIOD) + at) % PERIOD)];
    }

    private boolean isNorm(String name) {
        return shapes.get(name).length == 1;
    }

    /// Elements of a weight from the `first` on, as many as `floats` has room for.
    void fill(String name, long first, MemorySegment floats) {
        boolean norm = isNorm(name);
        for (long i = 0; i < floats.byteSize() / Float.BYTES; i++) {
            floats.setAtIndex(ValueLayout.JAVA_FLOAT, i, norm ? 1 : steps(name, first + i) * STEP);
        }
    }

    // ---- as a source, for a model that never was in a file -----------------------------------------------------------------------

    @Override
    public boolean has(String name) {
        return shapes.containsKey(name);
    }

    @Override
    public long[] shape(String name) {
        return shapes.get(name);
    }

    @Override
    public DType storedType(String name) {
        return DType.F32;
    }

    @Override
    public void readF32Rows(String name, long firstRow, long rows, MemorySegment dst) {
        long columns = shapes.get(name)[shapes.get(name).length - 1];
        fill(name, firstRow * columns, dst.asSlice(0, rows * columns * Float.BYTES));
    }

    @Override
    public Optional<Nf4State> quantized(String name, SegmentAllocator allocator) {
        return Optional.empty();
    }

    // ---- as files ----------------------------------------------------------------------------------------------------------------

    private long elements(String name) {
        long[] shape = shapes.get(name);
        return isNorm(name) ? shape[0] : shape[0] * shape[1];
    }

    private long sum(boolean projections) {
        return shapes.keySet().stream().filter(name -> isProjection(name) == projections).mapToLong(this::elements).sum();
    }

    /// Bytes of the weights in a folder that [#writeSafetensors] makes.
    long safetensorsBytes() {
        return DType.BF16.bytes() * (sum(true) + sum(false));
    }

    /// A Hugging Face folder in BF16.
    void writeSafetensors(Path folder) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Safetensors.write(folder.resolve("model.safetensors"), shapes.keySet().stream().map(name -> bf16(name, arena)).toList(),
                    Map.of());
        }
        writeConfig(folder, "");
    }

    private RawTensor bf16(String name, SegmentAllocator allocator) {
        long elements = elements(name);
        boolean norm = isNorm(name);
        MemorySegment data = allocator.allocate(elements * Short.BYTES, 64);
        for (long i = 0; i < elements; i++) {
            float value = norm ? 1 : steps(name, i) * STEP;
            data.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(value) >>> 16));
        }
        return new RawTensor(name, DType.BF16, shapes.get(name), data);
    }

    private void writeConfig(Path folder, String quantization) throws IOException {
        AtomicFile.write(folder.resolve("config.json"), String.format(Locale.ROOT, """
                {"model_type": "llama", "vocab_size": %d, "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
                 "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d, "max_position_embeddings": %d,
                 "rms_norm_eps": %s, "rope_theta": %s, "tie_word_embeddings": %s, "torch_dtype": "bfloat16"%s}
                """, config.vocabularySize(), config.hiddenSize(), config.intermediateSize(), config.layers(), config.heads(),
                config.keyValueHeads(), config.headSize(), config.maxPositions(), config.rmsNormEpsilon(), config.ropeTheta(),
                config.tiedEmbeddings(), quantization));
        TOKENIZER.write(folder);
    }

    /// Bytes of the weights in a folder that [#writeBitsandbytes] makes.
    long bitsandbytesBytes() {
        return Math.round(LinearCases.NF4_BYTES * sum(true)) + DType.BF16.bytes() * sum(false);
    }

    /// A folder as transformers saves a model that bitsandbytes has loaded in NF4 with double quantization.
    ///
    /// @param stream quantizes
    void writeBitsandbytes(Path folder, Stream stream) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            List<RawTensor> tensors = new ArrayList<>();
            for (String name : shapes.keySet()) {
                RawTensor dense = bf16(name, arena);
                if (isProjection(name)) {
                    addState(tensors, name, quantized(stream, dense, arena), arena);
                } else {
                    tensors.add(dense);
                }
            }
            Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of());
        }
        writeConfig(folder, """
                , "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4",
                 "bnb_4bit_use_double_quant": true}""");
    }

    private static Nf4State quantized(Stream stream, RawTensor dense, SegmentAllocator allocator) {
        long rows = dense.shape()[0];
        long cols = dense.shape()[1];
        try (Tensor tensor = Tensor.allocate(stream.device(), DType.BF16, rows, cols)) {
            MemoryOps.copy(stream, Tensor.ofHost(dense.data(), DType.BF16, rows, cols), tensor);
            try (Nf4Weight weight = Nf4Weight.quantize(stream, tensor, Buffers.BLOCK_SIZE, true)) {
                Nf4State state = Nf4Ops.exportState(stream, weight, allocator);
                stream.synchronize();
                return state;
            }
        }
    }

    private static void addState(List<RawTensor> tensors, String name, Nf4State state, SegmentAllocator allocator) {
        MemorySegment text = allocator.allocateFrom(String.format(Locale.ROOT, """
                {"quant_type": "nf4", "blocksize": %d, "shape": [%d, %d], "dtype": "bfloat16", "nested_blocksize": 256,
                 "nested_dtype": "float32", "nested_offset": %s}""", state.blockSize(), state.rows(), state.cols(), state.nestedOffset()),
                StandardCharsets.UTF_8);
        add(tensors, name, DType.U8, state.codes());
        add(tensors, name + ".absmax", DType.U8, state.absmax8());
        add(tensors, name + ".quant_map", DType.F32, state.quantMap());
        add(tensors, name + ".nested_absmax", DType.F32, state.nestedAbsmax());
        add(tensors, name + ".nested_quant_map", DType.F32, state.nestedMap());
        add(tensors, name + ".quant_state.bitsandbytes__nf4", DType.U8, text.asSlice(0, text.byteSize() - 1)); // without C's zero
    }

    private static void add(List<RawTensor> tensors, String name, DType dtype, MemorySegment data) {
        tensors.add(new RawTensor(name, dtype, new long[] {data.byteSize() / dtype.bytes()}, data));
    }

    /// Bytes of the weights in a file that [#writeGguf] makes.
    long ggufBytes() {
        return shapes.keySet().stream()
                .mapToLong(name -> isNorm(name) ? elements(name) * Float.BYTES : GgufFile.q8Bytes(elements(name))).sum();
    }

    /// A GGUF file with matrices in Q8_0, as llama.cpp's converter writes one.
    void writeGguf(Path file) throws IOException {
        GgufFile gguf = new GgufFile();
        gguf.put("general.architecture", "llama");
        gguf.put("llama.context_length", config.maxPositions());
        gguf.put("llama.embedding_length", config.hiddenSize());
        gguf.put("llama.block_count", config.layers());
        gguf.put("llama.feed_forward_length", config.intermediateSize());
        gguf.put("llama.attention.head_count", config.heads());
        gguf.put("llama.attention.head_count_kv", config.keyValueHeads());
        gguf.put("llama.attention.key_length", config.headSize());
        gguf.put("llama.rope.dimension_count", config.headSize());
        gguf.put("llama.rope.freq_base", (float) config.ropeTheta());
        gguf.put("llama.attention.layer_norm_rms_epsilon", (float) config.rmsNormEpsilon());
        TOKENIZER.putInto(gguf);
        try (Arena arena = Arena.ofConfined()) {
            for (String name : shapes.keySet()) {
                if (isNorm(name)) {
                    MemorySegment floats = arena.allocate(elements(name) * Float.BYTES, Float.BYTES);
                    fill(name, 0, floats);
                    gguf.add(GgufFile.tensorName(name), shapes.get(name), GgufFile.F32, floats);
                } else {
                    gguf.add(GgufFile.tensorName(name), shapes.get(name), GgufFile.Q8_0, q8(name, arena));
                }
            }
            gguf.write(file);
        }
    }

    /// Blocks of a scale in F16 and 32 bytes. The scale is [#STEP].
    private MemorySegment q8(String name, SegmentAllocator allocator) {
        long rows = shapes.get(name)[0];
        long cols = shapes.get(name)[1];
        MemorySegment data = allocator.allocate(GgufFile.q8Bytes(rows * cols));
        long at = 0;
        for (long row = 0; row < rows; row++) {
            long first = sourceRow(name, row) * cols;
            for (long col = 0; col < cols; col++) {
                if (col % GgufFile.Q8_ELEMENTS == 0) {
                    data.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, Float.floatToFloat16(STEP));
                    at += Short.BYTES;
                }
                data.set(ValueLayout.JAVA_BYTE, at++, steps(name, first + col));
            }
        }
        return data;
    }

    /// ggml rotates adjacent pairs where Hugging Face rotates halves, so in q and k row `2i + j` of a head is row `j * size / 2 + i`.
    private long sourceRow(String name, long row) {
        if (!name.contains(".q_proj.") && !name.contains(".k_proj.")) {
            return row;
        }
        long inHead = row % config.headSize();
        return row - inHead + inHead % 2 * (config.headSize() / 2) + inHead / 2;
    }
}
