package io.github.nf4j.internal;

import io.github.nf4j.DType;
import io.github.nf4j.bindings.nf4j_tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// The `nf4j_tensor` of a tensor, written once for all calls. Structs lie side by side in blocks, so that one for a view that is made in
/// passing costs little; a block is freed when nobody refers to one of its structs any more.
public final class TensorStruct {
    private static final int IN_A_BLOCK = 64;

    private static MemorySegment block;
    private static int used = IN_A_BLOCK;

    private TensorStruct() {
    }

    /// A struct that whoever calls a C function with it keeps reachable meanwhile.
    public static MemorySegment of(MemorySegment data, DType dtype, long rows, long cols, long ld) {
        MemorySegment struct = allocate();
        nf4j_tensor.data(struct, data);
        nf4j_tensor.rows(struct, rows);
        nf4j_tensor.cols(struct, cols);
        nf4j_tensor.ld(struct, ld);
        nf4j_tensor.dtype(struct, dtype.code());
        return struct;
    }

    private static synchronized MemorySegment allocate() {
        if (used == IN_A_BLOCK) {
            block = nf4j_tensor.allocateArray(IN_A_BLOCK, Arena.ofAuto());
            used = 0;
        }
        return nf4j_tensor.asSlice(block, used++);
    }
}
