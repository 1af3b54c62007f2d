package io.github.nf4j.op;

import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;

/// Family `memory`: moving and converting tensors.
public final class MemoryOps {
    private MemoryOps() {
    }

    /// `dst` = `src`, of the same shape and type, any type. Either may be host memory.
    public static void copy(Stream stream, Tensor src, Tensor dst) {
        try (Call call = Call.on(stream, "memory.copy")) {
            MemorySegment from = call.input(src);
            MemorySegment to = call.output(dst);
            call.check(Nf4jH.nf4j_memory_copy(call.stream(), from, to));
        }
    }

    /// Every element of `dst` becomes `value`, rounded to its type.
    public static void fill(Stream stream, double value, Tensor dst) {
        try (Call call = Call.on(stream, "memory.fill")) {
            MemorySegment output = call.output(dst);
            call.check(Nf4jH.nf4j_memory_fill(call.stream(), value, output));
        }
    }

    /// `dst` = `src` converted between F32, F16 and BF16, rounded to nearest even.
    public static void cast(Stream stream, Tensor src, Tensor dst) {
        try (Call call = Call.on(stream, "memory.cast")) {
            MemorySegment from = call.input(src);
            MemorySegment to = call.output(dst);
            call.check(Nf4jH.nf4j_memory_cast(call.stream(), from, to));
        }
    }

    /// `y` = `a` + `b`, F32 or BF16. `y` may be `a` or `b`.
    public static void add(Stream stream, Tensor a, Tensor b, Tensor y) {
        try (Call call = Call.on(stream, "memory.add")) {
            MemorySegment left = call.input(a);
            MemorySegment right = call.input(b);
            MemorySegment sum = call.output(y);
            call.check(Nf4jH.nf4j_memory_add(call.stream(), left, right, sum));
        }
    }

    /// Queues that the pages of a contiguous tensor in paged memory come to the GPU, before an operation that uses all of it. Does
    /// nothing with other memory.
    public static void prefetch(Stream stream, Tensor tensor) {
        try (Call call = Call.on(stream, "memory.prefetch")) {
            MemorySegment data = call.data(tensor);
            call.check(Nf4jH.nf4j_memory_prefetch(call.stream(), data, tensor.rows() * tensor.cols() * tensor.dtype().bytes()));
        }
    }
}
