package io.github.nf4j.nn;

import io.github.nf4j.DType;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/// Everything that decides the mathematics of a model of the Llama family, with defaults resolved.
///
/// A field of a model's file that changes the computation and is not represented here makes reading fail, by name.
///
/// @param architecture     what the file calls the model
/// @param vocabularySize   rows of the embedding
/// @param hiddenSize       width of the residual stream
/// @param intermediateSize width inside the MLP
/// @param layers           number of blocks
/// @param heads            query heads
/// @param keyValueHeads    key and value heads; divides `heads`
/// @param headSize         elements of a head; `heads * headSize` may differ from `hiddenSize`
/// @param rmsNormEpsilon   added to the mean square in RMSNorm
/// @param ropeTheta        base of the rotary frequencies
/// @param ropeScaling      how the rotary frequencies are stretched
/// @param maxPositions     positions that the model was made for
/// @param queryKeyValueBias whether the q, k and v projections have a bias
/// @param outputBias       whether the o projection has a bias
/// @param mlpBias          whether the gate, up and down projections have a bias
/// @param slidingWindows   for each layer the number of positions that a query sees, itself included; 0 is all before
///                         it
/// @param tiedEmbeddings   whether the output head is the embedding matrix
/// @param dtype            type that the weights were saved in, as the file declares it; F32 if it does not
/// @param bosId            id of the token that begins a text
/// @param eosIds           ids of the tokens that end a generation; may be empty
/// @param padId            id of the padding token
/// @param bnb4bit          whether linear layers are stored as bitsandbytes NF4
public record ModelConfig(
        Architecture architecture,
        int vocabularySize,
        int hiddenSize,
        int intermediateSize,
        int layers,
        int heads,
        int keyValueHeads,
        int headSize,
        double rmsNormEpsilon,
        double ropeTheta,
        RopeScaling ropeScaling,
        int maxPositions,
        boolean queryKeyValueBias,
        boolean outputBias,
        boolean mlpBias,
        List<Integer> slidingWindows,
        boolean tiedEmbeddings,
        DType dtype,
        OptionalInt bosId,
        List<Integer> eosIds,
        OptionalInt padId,
        boolean bnb4bit) {

    /// Model types that nf4j implements.
    public enum Architecture {
        LLAMA, QWEN2, MISTRAL
    }

    /// Width of all query heads together.
    public int querySize() {
        return heads * headSize;
    }

    /// Width of all key heads together, and of all value heads.
    public int keyValueSize() {
        return keyValueHeads * headSize;
    }

    /// The parameters of the model by their Hugging Face names, in the order of the computation, with their shapes
    /// (`[out, in]` for matrices). The output head is absent where it is tied.
    public Map<String, long[]> parameterShapes() {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        shapes.put("model.embed_tokens.weight", new long[] {vocabularySize, hiddenSize});
        for (int layer = 0; layer < layers; layer++) {
            String block = "model.layers." + layer + ".";
            shapes.put(block + "input_layernorm.weight", new long[] {hiddenSize});
            linear(shapes, block + "self_attn.q_proj", querySize(), hiddenSize, queryKeyValueBias);
            linear(shapes, block + "self_attn.k_proj", keyValueSize(), hiddenSize, queryKeyValueBias);
            linear(shapes, block + "self_attn.v_proj", keyValueSize(), hiddenSize, queryKeyValueBias);
            linear(shapes, block + "self_attn.o_proj", hiddenSize, querySize(), outputBias);
            shapes.put(block + "post_attention_layernorm.weight", new long[] {hiddenSize});
            linear(shapes, block + "mlp.gate_proj", intermediateSize, hiddenSize, mlpBias);
            linear(shapes, block + "mlp.up_proj", intermediateSize, hiddenSize, mlpBias);
            linear(shapes, block + "mlp.down_proj", hiddenSize, intermediateSize, mlpBias);
        }
        shapes.put("model.norm.weight", new long[] {hiddenSize});
        if (!tiedEmbeddings) {
            shapes.put("lm_head.weight", new long[] {vocabularySize, hiddenSize});
        }
        return shapes;
    }

    private static void linear(Map<String, long[]> shapes, String path, long out, long in, boolean bias) {
        shapes.put(path + ".weight", new long[] {out, in});
        if (bias) {
            shapes.put(path + ".bias", new long[] {out});
        }
    }
}
