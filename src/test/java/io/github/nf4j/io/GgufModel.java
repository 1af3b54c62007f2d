package io.github.nf4j.io;

import io.github.nf4j.nn.ModelConfig;
import java.util.Map;

/// Writes a fixture's model as GGUF in F32, the way llama.cpp's converter does, independently of the reader.
final class GgufModel {
    private static final Map<String, String> NAMES = Map.of(
            "input_layernorm", "attn_norm", "self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k",
            "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output", "post_attention_layernorm", "ffn_norm",
            "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down");

    private GgufModel() {
    }

    /// @param architecture `llama`, where rows of q and k are permuted, or `qwen2`
    static GgufWriter of(ModelFiles model, String architecture) {
        ModelConfig c = model.config();
        String a = architecture + ".";
        GgufWriter writer = new GgufWriter().string("general.architecture", architecture)
                .u32(a + "block_count", c.layers()).u32(a + "context_length", c.maxPositions())
                .u32(a + "embedding_length", c.hiddenSize()).u32(a + "feed_forward_length", c.intermediateSize())
                .u32(a + "attention.head_count", c.heads()).u32(a + "attention.head_count_kv", c.keyValueHeads())
                .u32(a + "attention.key_length", c.headSize()).u32(a + "rope.dimension_count", c.headSize())
                .f32(a + "rope.freq_base", (float) c.ropeTheta())
                .f32(a + "attention.layer_norm_rms_epsilon", (float) c.rmsNormEpsilon());
        for (String name : c.parameterShapes().keySet()) {
            float[] values = Fixtures.read(model, name);
            if (architecture.equals("llama") && name.contains(".q_proj.")) {
                values = permute(values, c.heads());
            } else if (architecture.equals("llama") && name.contains(".k_proj.")) {
                values = permute(values, c.keyValueHeads());
            }
            writer.tensor(ggufName(name), model.shape(name), values);
        }
        return writer;
    }

    /// The converter's `w.reshape(heads, 2, rows / heads / 2, columns).swapaxes(1, 2)`; with several columns the
    /// elements of a row stay together, with one the rows are the elements, and the same index arithmetic serves both.
    private static float[] permute(float[] values, int heads) {
        float[] permuted = new float[values.length];
        int head = values.length / heads;
        // 64 columns in every fixture's matrix; a bias is shorter than a matrix of one head
        int columns = values.length > 1024 ? 64 : 1;
        int pairs = head / 2 / columns;
        for (int h = 0; h < heads; h++) {
            for (int half = 0; half < 2; half++) {
                for (int i = 0; i < pairs; i++) {
                    System.arraycopy(values, h * head + (half * pairs + i) * columns, permuted, h * head
                            + (i * 2 + half) * columns, columns);
                }
            }
        }
        return permuted;
    }

    private static String ggufName(String name) {
        String module = name.substring(0, name.lastIndexOf('.'));
        String suffix = name.substring(name.lastIndexOf('.'));
        if (module.startsWith("model.layers.")) {
            String[] parts = module.split("\\.", 4);
            return "blk." + parts[2] + "." + NAMES.get(parts[3]) + suffix;
        }
        return Map.of("model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output").get(module)
                + suffix;
    }
}
