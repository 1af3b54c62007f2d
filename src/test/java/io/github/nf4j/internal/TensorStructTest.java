package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.nf4j.DType;
import io.github.nf4j.bindings.nf4j_tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class TensorStructTest {
    /// More than there are in a block, and read when the last is written.
    @Test
    void eachHasItsOwnFields() {
        List<MemorySegment> structs = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            structs.add(TensorStruct.of(MemorySegment.ofAddress(1L << 40 | i), DType.BF16, i + 1000, i + 2000, i + 3000));
        }
        for (int i = 0; i < 200; i++) {
            MemorySegment struct = structs.get(i);
            assertEquals(1L << 40 | i, nf4j_tensor.data(struct).address());
            assertEquals(i + 1000, nf4j_tensor.rows(struct));
            assertEquals(i + 2000, nf4j_tensor.cols(struct));
            assertEquals(i + 3000, nf4j_tensor.ld(struct));
            assertEquals(DType.BF16.code(), nf4j_tensor.dtype(struct));
            assertEquals(0, nf4j_tensor.reserved(struct));
        }
    }
}
