package io.github.nf4j.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Device;
import io.github.nf4j.Nf4Weight;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class CallTraceTest {
    private final Device device = Device.open(Backend.CPU);
    private final Stream stream = device.newStream();
    private final Tensor x = filled(DType.F32, 3, 128);
    private final Tensor y = filled(DType.F32, 3, 64);

    private Tensor filled(DType dtype, long rows, long cols) {
        Tensor tensor = Tensor.allocate(device, dtype, rows, cols);
        MemoryOps.fill(stream, 0.5, tensor);
        return tensor;
    }

    @AfterEach
    void close() {
        x.close();
        y.close();
        stream.close();
        device.close();
    }

    @Test
    void hearsOfEveryCallInItsOrderUntilItIsClosed() {
        CallTrace trace = CallTrace.of(stream);
        long before = System.nanoTime();
        MemoryOps.fill(stream, 1, x);
        CallTrace.section(stream, "part");
        MemoryOps.add(stream, x, x, x);
        CallTrace.section(stream, null);
        stream.synchronize();
        trace.close();
        trace.close();
        MemoryOps.fill(stream, 2, x);
        List<CallTrace.Entry> entries = trace.entries();
        assertEquals(List.of("memory.fill", "memory.add", "stream.synchronize"), entries.stream().map(CallTrace.Entry::operation).toList());
        assertEquals("part", entries.get(1).section());
        assertEquals(new Work(384, 2 * 4 * 384, 4 * 384), entries.get(1).work());
        long last = before;
        for (CallTrace.Entry entry : entries) {
            assertTrue(entry.beginNanos() >= last && entry.endNanos() > entry.beginNanos(), entries::toString);
            last = entry.endNanos();
        }
    }

    @Test
    void aFailedCallIsNoEntryAndLeavesNothingForTheNext() {
        try (CallTrace trace = CallTrace.of(stream)) {
            assertThrows(IllegalArgumentException.class, () -> MemoryOps.add(stream, x, y, x));
            MemoryOps.fill(stream, 1, y);
            assertEquals(List.of(new Work(0, 0, 4 * 192)), trace.entries().stream().map(CallTrace.Entry::work).toList());
        }
    }

    @Test
    void aStreamHasOneTraceAtATimeAndOthersAreNotHeard() {
        try (Stream other = device.newStream(); CallTrace trace = CallTrace.of(stream)) {
            assertThrows(IllegalStateException.class, () -> CallTrace.of(stream));
            MemoryOps.fill(other, 1, x);
            CallTrace.section(other, "nobody listens");
            assertEquals(List.of(), trace.entries());
        }
        try (CallTrace again = CallTrace.of(stream)) {
            assertEquals(List.of(), again.entries());
        }
    }

    /// Work written out for a product with an adapter: m = 3 tokens, 128 in, 64 out, rank 2.
    @Test
    void workIsCountedFromTheShapes() {
        try (Tensor dense = filled(DType.F32, 64, 128); Nf4Weight packed = Nf4Weight.quantize(stream, dense, 64, true);
                Tensor a = filled(DType.F32, 2, 128); Tensor b = filled(DType.F32, 64, 2); Tensor u = filled(DType.F32, 3, 2);
                Tensor c = filled(DType.F32, 5, 128); Tensor v = filled(DType.F32, 3, 5);
                Tensor da = filled(DType.F32, 2, 128); Tensor db = filled(DType.F32, 64, 2); Tensor dx = filled(DType.F32, 3, 128);
                CallTrace trace = CallTrace.of(stream)) {
            LinearWeight base = LinearWeight.nf4(packed, null);
            LoraWeights lora = new LoraWeights(a, b, 4);
            double product = 2.0 * 3 * 128 * 64;
            double adapter = 2.0 * 3 * 2 * (128 + 64);
            double factors = 4 * 2 * (128 + 64);
            Nf4Ops.matmul(stream, x, packed, null, y);
            LoraOps.forward(stream, x, base, lora, u, y);
            LoraOps.project(stream, x, List.of(lora, new LoraWeights(c, null, 4)), List.of(u, v));
            LoraOps.apply(stream, x, base, lora, u, y);
            LoraOps.backward(stream, x, y, u, base, lora, false, da, db, null);
            LoraOps.backward(stream, x, y, u, base, lora, true, da, db, dx);
            DenseOps.matmul(stream, false, true, 1, 0, x, dense, null, y);
            DenseOps.matmul(stream, true, false, 1, 1, y, x, null, dense);
            assertEquals(List.of(
                    new Work(product, 4 * 3 * 128 + packed.bytes(), 4 * 3 * 64),
                    new Work(product + adapter, 4 * 3 * 128 + packed.bytes() + factors, 4 * 3 * (64 + 2)),
                    new Work(2.0 * 3 * 128 * (2 + 5), 4 * 128 * (3 + 2 + 5), 4 * 3 * (2 + 5)),
                    new Work(product + 2 * 3 * 2 * 64, 4 * (3 * 128 + 2 * 64 + 3 * 2) + packed.bytes(), 4 * 3 * 64),
                    new Work(2 * adapter - 2.0 * 3 * 2 * 128, 4 * 3 * (128 + 64 + 2) + packed.bytes() + 2 * factors, factors),
                    new Work(product + 2 * adapter, 4 * 3 * (128 + 128 + 64 + 2) + packed.bytes() + 2 * factors, factors + 4 * 3 * 128),
                    new Work(product, 4 * (3 * 128 + 64 * 128), 4 * 3 * 64),
                    new Work(product, 4 * (3 * (128 + 64) + 64 * 128), 4 * 64 * 128)),
                    trace.entries().stream().map(CallTrace.Entry::work).toList());
        }
    }

    /// Sequences of 2 and 3 tokens, two heads of 8: 3 + 6 pairs of a query and a key, with a window of two 3 + 5.
    @Test
    void attentionCountsThePairsThatSeeEachOther() {
        try (Tensor q = filled(DType.F32, 5, 16); Tensor lse = filled(DType.F32, 5, 2); Tensor out = filled(DType.F32, 5, 16);
                CallTrace trace = CallTrace.of(stream)) {
            AttentionShape shape = AttentionShape.of(2, 2, 8);
            AttentionOps.forward(stream, shape, PackedSequences.ofLengths(2, 3), q, q, q, lse, out);
            AttentionOps.forward(stream, shape.withWindow(2), PackedSequences.ofLengths(2, 3), q, q, q, lse, out);
            PackedSequences cached = PackedSequences.withCache(new int[] {1}, new int[] {1}, new int[] {3});
            AttentionOps.forward(stream, shape, cached, q.rows(0, 1), q, q, lse.rows(0, 1), out.rows(0, 1));
            double bytes = 4 * 5 * 16;
            assertEquals(List.of(new Work(4 * 16 * 9, 3 * bytes, bytes + 4 * 5 * 2), new Work(4 * 16 * 8, 3 * bytes, bytes + 4 * 5 * 2),
                    new Work(4 * 16 * 3, 4 * 16 * (1 + 2 * 3), 4 * 16 + 4 * 2)),
                    trace.entries().stream().map(CallTrace.Entry::work).toList());
        }
    }
}
