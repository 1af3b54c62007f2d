package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.nn.ModelConfig;
import io.github.nf4j.nn.RopeScaling;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/// Sizes of real models: the shapes that users run are the ones worth measuring.
public final class Models {
    static final Model SMOLLM2_135M = new Model("smollm2-135m", 30, 576, 1536, 9, 3, 64, 49152, true);
    static final Model TINYLLAMA_1_1B = new Model("tinyllama-1.1b", 22, 2048, 5632, 32, 4, 64, 32000, false);
    static final Model LLAMA3_8B = new Model("llama3-8b", 32, 4096, 14336, 32, 8, 128, 128256, false);
    public static final List<Model> ALL = List.of(SMOLLM2_135M, TINYLLAMA_1_1B, LLAMA3_8B);

    private static final int MOST_POSITIONS = 1 << 17;

    private Models() {
    }

    public record Model(String name, int layers, int hidden, int intermediate, int heads, int kvHeads, int headDim, int vocabulary,
            boolean tiedEmbeddings) {
        /// The linear layers that differ in shape, as [out, in]: o has that of q, v that of k, up that of gate.
        Map<String, int[]> linears() {
            Map<String, int[]> linears = new LinkedHashMap<>();
            linears.put("q", new int[] {hidden, hidden});
            linears.put("k", new int[] {kvHeads * headDim, hidden});
            linears.put("gate", new int[] {intermediate, hidden});
            linears.put("down", new int[] {hidden, intermediate});
            return linears;
        }

        /// @param depth number of layers: the model's own, or fewer, as a layer costs the same in every depth
        public ModelConfig config(int depth) {
            return new ModelConfig(ModelConfig.Architecture.LLAMA, vocabulary, hidden, intermediate, depth, heads, kvHeads, headDim, 1e-5,
                    10000,
                    new RopeScaling.None(), MOST_POSITIONS, false, false, false, Collections.nCopies(depth, 0), tiedEmbeddings, DType.F32,
                    OptionalInt.empty(), List.of(), OptionalInt.empty(), false);
        }
    }
}
