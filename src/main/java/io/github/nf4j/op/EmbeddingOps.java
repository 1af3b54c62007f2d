package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `embedding`: rows of a table.
public final class EmbeddingOps {
    private EmbeddingOps() {
    }

    /// `y` [m, n] = the rows `ids` of `table`.
    ///
    /// @param ids   [1, m] I32; one outside the table is refused on host backends, and gives a row of NaN on a GPU
    /// @param table [vocabulary, n] F32 or BF16
    public static void forward(Stream stream, Tensor ids, Tensor table, Tensor y) {
        try (Call call = Call.on(stream, "embedding.forward")) {
            MemorySegment tokens = call.input(ids);
            MemorySegment rows = call.input(table);
            MemorySegment output = call.output(y);
            call.check(Nf4jH.nf4j_embedding_forward(call.stream(), tokens, rows, output));
        }
    }

    /// `dtable` [vocabulary, n] F32 += the rows of `dy` [m, n], in the order of the tokens.
    public static void backward(Stream stream, Tensor ids, Tensor dy, Tensor dtable) {
        try (Call call = Call.on(stream, "embedding.backward")) {
            MemorySegment tokens = call.input(ids);
            MemorySegment gradient = call.input(dy);
            MemorySegment toTable = call.output(dtable);
            call.check(Nf4jH.nf4j_embedding_backward(call.stream(), tokens, gradient, toTable));
        }
    }
}
