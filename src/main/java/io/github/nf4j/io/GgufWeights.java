package io.github.nf4j.io;

import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/// Weights of a GGUF file under their Hugging Face names and in Hugging Face's row order.
final class GgufWeights implements WeightSource {
    /// Names inside block `N`: `model.layers.N.<key>` is `blk.N.<value>`.
    private static final Map<String, String> BLOCK_NAMES = Map.of(
            "input_layernorm", "attn_norm",
            "self_attn.q_proj", "attn_q",
            "self_attn.k_proj", "attn_k",
            "self_attn.v_proj", "attn_v",
            "self_attn.o_proj", "attn_output",
            "post_attention_layernorm", "ffn_norm",
            "mlp.gate_proj", "ffn_gate",
            "mlp.up_proj", "ffn_up",
            "mlp.down_proj", "ffn_down");
    private static final Map<String, String> OUTER_NAMES = Map.of(
            "model.embed_tokens", "token_embd",
            "model.norm", "output_norm",
            "lm_head", "output");
    private static final String LAYERS = "model.layers.";

    private final Gguf gguf;
    private final ModelConfig config;

    GgufWeights(Gguf gguf, ModelConfig config) {
        this.gguf = gguf;
        this.config = config;
    }

    /// The GGUF name of a weight; a name that has none stands for itself and is not found.
    private static String ggufName(String name) {
        int dot = name.lastIndexOf('.');
        if (dot < 0) {
            return name;
        }
        String module = name.substring(0, dot);
        String suffix = name.substring(dot);
        if (module.startsWith(LAYERS)) {
            int end = module.indexOf('.', LAYERS.length());
            String block = end < 0 ? null : BLOCK_NAMES.get(module.substring(end + 1));
            return block == null ? name : "blk." + module.substring(LAYERS.length(), end) + "." + block + suffix;
        }
        return OUTER_NAMES.getOrDefault(module, module) + suffix;
    }

    private GgufTensor tensor(String name) {
        if (!has(name)) {
            throw new FileFormatException(gguf.file(), "tensor '" + ggufName(name) + "'", "missing (" + name + ")");
        }
        return gguf.tensor(ggufName(name));
    }

    @Override
    public boolean has(String name) {
        return gguf.tensorNames().contains(ggufName(name));
    }

    @Override
    public Path file(String name) {
        return gguf.file();
    }

    @Override
    public long[] shape(String name) {
        return tensor(name).shape().clone();
    }

    @Override
    public DType storedType(String name) {
        return switch (tensor(name).type()) {
            case F32, Q4_0, Q4_1, Q8_0 -> DType.F32;
            case F16 -> DType.F16;
            case BF16 -> DType.BF16;
        };
    }

    @Override
    public void decodeRows(String name, long firstRow, long rows, MemorySegment dst) {
        GgufTensor tensor = tensor(name);
        int heads = permutedHeads(name);
        if (heads == 0) {
            long columns = rows == 0 ? 0 : dst.byteSize() / Float.BYTES / rows;
            tensor.dequantize(firstRow * columns, rows * columns, dst);
            return;
        }
        // A bias of q or k is permuted like the rows of the matrix: here its elements are the rows.
        boolean vector = tensor.shape().length == 1;
        long allRows = tensor.shape()[0];
        long columns = vector ? 1 : tensor.shape()[1];
        long first = vector ? 0 : firstRow;
        long count = vector ? rows * allRows : rows;
        if (allRows % (2 * heads) != 0) {
            throw new FileFormatException(gguf.file(), "tensor '" + tensor.name() + "'", allRows + " rows are not "
                    + heads + " heads of pairs");
        }
        for (long row = 0; row < count; row++) {
            long stored = storedRow(first + row, allRows / heads);
            tensor.dequantize(stored * columns, columns,
                    dst.asSlice(row * columns * Float.BYTES, columns * Float.BYTES));
        }
    }

    /// Number of heads whose rows are permuted in this weight, or 0. ggml rotates adjacent pairs where Hugging Face
    /// rotates halves, so the converter reorders q and k, for the architecture `llama` alone.
    private int permutedHeads(String name) {
        if (config.architecture() != ModelConfig.Architecture.LLAMA) {
            return 0;
        }
        if (name.contains(".q_proj.")) {
            return config.heads();
        }
        return name.contains(".k_proj.") ? config.keyValueHeads() : 0;
    }

    /// Row `h·d + j·d/2 + i` of Hugging Face lies at row `h·d + 2·i + j`, for heads of size `d`, j in 0..1, i below
    /// d/2.
    private static long storedRow(long row, long headSize) {
        long inHead = row % headSize;
        long half = headSize / 2;
        return row - inHead + 2 * (inHead % half) + inHead / half;
    }

    @Override
    public Optional<RawTensor> raw(String name) {
        GgufTensor tensor = tensor(name);
        if (tensor.type().blockElements() > 1 || permutedHeads(name) > 0) {
            return Optional.empty();
        }
        return Optional.of(new RawTensor(name, storedType(name), shape(name), tensor.data()));
    }
}
