package io.github.nf4j.bench.cases;

import io.github.nf4j.DType;
import io.github.nf4j.bench.result.CaseResult.Work;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;

/// One operation on one shape in one type: what `list` shows and `run` measures.
///
/// @param op     family and operation, such as `nf4.matmul`
/// @param shape  model and layer, such as `llama3-8b.gate`
/// @param dims   sizes by name
/// @param bytes  of one set of buffers
/// @param gemm   the dense product that other libraries would do instead, or null
/// @param beside  other operations of ours on the same shape, which are measured in turns with it
/// @param prepare allocates the buffers and fills them
public record BenchCase(String op, String shape, Map<String, Long> dims, DType dtype, Work work, long bytes, Gemm gemm,
        List<BenchCase> beside, Function<Buffers, Subject> prepare) {
    public BenchCase {
        dims = new TreeMap<>(dims);
    }

    BenchCase(String op, String shape, Map<String, Long> dims, DType dtype, Work work, long bytes, Gemm gemm,
              Function<Buffers, Subject> prepare) {
        this(op, shape, dims, dtype, work, bytes, gemm, List.of(), prepare);
    }

    /// The same, measured in turns with others.
    BenchCase beside(BenchCase... others) {
        return new BenchCase(op, shape, dims, dtype, work, bytes, gemm, List.of(others), prepare);
    }

    /// What `--shape` is matched with: the shape, and each size as `m=16`.
    public String shapeText() {
        StringBuilder text = new StringBuilder(shape);
        dims.forEach((name, size) -> text.append(',').append(name).append('=').append(size));
        return text.append(',').append(dtype.name().toLowerCase(Locale.ROOT)).toString();
    }

    /// c [m, n] = a [m, k] * op(b), b stored [n, k] if transposed, else [k, n].
    public record Gemm(long m, long n, long k, boolean transposeB) {
    }
}
