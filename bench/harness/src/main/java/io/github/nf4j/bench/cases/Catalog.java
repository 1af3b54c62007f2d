package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.bench.cases.Models.Model;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// The cases of each suite. Add one here, and where its operation is missing, in one of the `...Cases` classes.
public final class Catalog {
    /// Tokens in one call: one sequence that generates, small batches, prompts and training steps.
    private static final int[] TOKENS = {1, 4, 16, 64, 256, 1024, 4096, 8192};
    /// Where time grows with the square of the tokens, or with the vocabulary, a few say enough.
    private static final int[] FEW_TOKENS = {1, 256, 2048};
    private static final List<DType> TYPES = List.of(DType.F32, DType.BF16);

    private Catalog() {
    }

    /// What is measured together.
    public enum Suite {
        /// Every operation once or twice on small shapes: seconds.
        SMOKE,
        /// Every operation on every shape: hours.
        FULL,
        /// The rows that have a goal in goals.json.
        LIMITS;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /// @param scope operations are the same from C and through FFM
    public static List<BenchCase> cases(Suite suite, Scope scope) {
        if (scope == Scope.LOAD) {
            return loads(suite);
        }
        return switch (suite) {
            case SMOKE -> smoke();
            case FULL -> full();
            case LIMITS -> limits();
        };
    }

    /// Whole models: deeper ones would only take longer. No goal is about files.
    private static List<BenchCase> loads(Suite suite) {
        List<BenchCase> cases = new ArrayList<>();
        if (suite == Suite.SMOKE) {
            cases.addAll(LoadCases.of(Models.SMOLLM2_135M, 1));
        } else if (suite == Suite.FULL) {
            cases.addAll(LoadCases.of(Models.SMOLLM2_135M, Models.SMOLLM2_135M.layers()));
            cases.addAll(LoadCases.of(Models.TINYLLAMA_1_1B, 4));
        }
        return cases;
    }

    private static List<BenchCase> smoke() {
        List<BenchCase> cases = new ArrayList<>();
        Model model = Models.SMOLLM2_135M;
        for (int m : new int[] {1, 64}) {
            addLinears(cases, model, "q", m, DType.F32);
        }
        addLinears(cases, model, "gate", 64, DType.BF16);
        addState(cases, model, 64, DType.F32);
        addLayers(cases, model, 64, DType.F32);
        addSequences(cases, model, 64, DType.F32);
        return cases;
    }

    private static List<BenchCase> full() {
        List<BenchCase> cases = new ArrayList<>();
        for (Model model : Models.ALL) {
            for (DType dtype : TYPES) {
                for (int m : TOKENS) {
                    model.linears().keySet().forEach(layer -> addLinears(cases, model, layer, m, dtype));
                    addLayers(cases, model, m, dtype);
                }
                for (int m : FEW_TOKENS) {
                    addSequences(cases, model, m, dtype);
                }
                addState(cases, model, 1024, dtype);
            }
        }
        return cases;
    }

    /// Products that are compute-bound, the one-token product, and adapted layers beside what they should cost no more than: few enough
    /// to be measured well in minutes. Whole training steps are added by the command.
    private static List<BenchCase> limits() {
        List<BenchCase> cases = new ArrayList<>();
        for (String layer : List.of("q", "gate", "down")) {
            addLimits(cases, Models.TINYLLAMA_1_1B, layer, 256);
        }
        addLimits(cases, Models.LLAMA3_8B, "q", 256);
        for (DType dtype : TYPES) {
            addProducts(cases, Models.LLAMA3_8B, "q", 1024, dtype);
        }
        return cases;
    }

    private static void addLimits(List<BenchCase> cases, Model model, String layer, int m) {
        int n = model.linears().get(layer)[0];
        int k = model.linears().get(layer)[1];
        String shape = model.name() + "." + layer;
        cases.add(LinearCases.matmul(shape, 1, n, k, DType.F32));
        for (DType dtype : TYPES) {
            addProducts(cases, model, layer, m, dtype);
            cases.add(LoraCases.forward(shape, m, n, k, dtype, true)
                    .beside(LinearCases.matmul(shape, m, n, k, dtype), LoraCases.forward(shape, m, n, k, dtype, false)));
            cases.add(LoraCases.backward(shape, m, n, k, dtype, true).beside(LoraCases.backward(shape, m, n, k, dtype, false)));
        }
    }

    private static void addProducts(List<BenchCase> cases, Model model, String layer, int m, DType dtype) {
        int[] size = model.linears().get(layer);
        cases.add(LinearCases.matmul(model.name() + "." + layer, m, size[0], size[1], dtype));
        cases.add(LinearCases.matmulBackward(model.name() + "." + layer, m, size[0], size[1], dtype));
    }

    private static void addLinears(List<BenchCase> cases, Model model, String layer, int m, DType dtype) {
        int[] size = model.linears().get(layer);
        String shape = model.name() + "." + layer;
        cases.add(LinearCases.matmul(shape, m, size[0], size[1], dtype));
        cases.add(LinearCases.matmulBackward(shape, m, size[0], size[1], dtype));
        cases.add(LinearCases.dense(shape, m, size[0], size[1], dtype));
        for (boolean nf4 : new boolean[] {true, false}) {
            cases.add(LoraCases.forward(shape, m, size[0], size[1], dtype, nf4));
            cases.add(LoraCases.apply(shape, m, size[0], size[1], dtype, nf4));
            cases.add(LoraCases.backward(shape, m, size[0], size[1], dtype, nf4));
        }
    }

    private static void addLayers(List<BenchCase> cases, Model model, int m, DType dtype) {
        cases.add(LoraCases.project(model.name() + ".qkv", m, 3, model.hidden(), dtype));
        cases.add(LayerCases.normForward(model.name(), m, model.hidden(), dtype));
        cases.add(LayerCases.normBackward(model.name(), m, model.hidden(), dtype));
        cases.add(LayerCases.rope(model.name(), true, m, model.heads(), model.headDim(), dtype));
        cases.add(LayerCases.rope(model.name(), false, m, model.heads(), model.headDim(), dtype));
        cases.add(LayerCases.swigluForward(model.name(), m, model.intermediate(), dtype));
        cases.add(LayerCases.swigluBackward(model.name(), m, model.intermediate(), dtype));
        if (dtype == DType.F32) { // which tables always are
            cases.add(LayerCases.ropeTable(model.name(), m, model.headDim()));
        }
    }

    private static void addSequences(List<BenchCase> cases, Model model, int m, DType dtype) {
        cases.add(SequenceCases.attentionForward(model.name(), m, model.heads(), model.kvHeads(), model.headDim(), dtype));
        cases.add(SequenceCases.attentionBackward(model.name(), m, model.heads(), model.kvHeads(), model.headDim(), dtype));
        cases.add(SequenceCases.embeddingForward(model.name(), m, model.hidden(), model.vocabulary(), dtype));
        cases.add(SequenceCases.embeddingBackward(model.name(), m, model.hidden(), model.vocabulary(), dtype));
        cases.add(SequenceCases.loss(model.name(), m, model.hidden(), model.vocabulary(), dtype));
    }

    private static void addState(List<BenchCase> cases, Model model, int m, DType dtype) {
        int[] gate = model.linears().get("gate");
        cases.add(LinearCases.quantize(model.name() + ".gate", gate[0], gate[1], dtype));
        cases.add(LinearCases.dequantize(model.name() + ".gate", gate[0], gate[1], dtype));
        cases.add(StateCases.copy(model.name(), m, model.hidden(), dtype));
        cases.add(StateCases.fill(model.name(), m, model.hidden(), dtype));
        cases.add(StateCases.cast(model.name(), m, model.hidden(), dtype));
        cases.add(StateCases.add(model.name(), m, model.hidden(), dtype));
        if (dtype == DType.F32) { // parameters, their state and what bitsandbytes stores have one type
            cases.add(LinearCases.importState(model.name() + ".gate", gate[0], gate[1], dtype));
            cases.add(LinearCases.exportState(model.name() + ".gate", gate[0], gate[1], dtype));
            long adapter = (long) LoraCases.RANK * (gate[0] + gate[1]);
            cases.add(StateCases.adamw(model.name() + ".gate.adapter", adapter, false));
            cases.add(StateCases.adamw(model.name() + ".gate.adapter", adapter, true));
            cases.add(StateCases.globalNorm(model.name() + ".gate.adapter", adapter));
        }
    }
}
