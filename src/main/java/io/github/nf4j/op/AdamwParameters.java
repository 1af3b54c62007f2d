package io.github.nf4j.op;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.nf4j_adamw_parameter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// The parameters that one optimizer updates, with their gradients and states, laid out once as the C array that every
/// step passes. The tensors stay their owners'; a step on a closed one is refused.
public final class AdamwParameters {
    private static final int BLOCK = 256;

    /// One parameter. All tensors are contiguous.
    ///
    /// @param param  F32 of n elements, in any shape
    /// @param grad   F32 of n elements
    /// @param m      first moment, n elements: F32, or U8 for the 8-bit state
    /// @param v      second moment, as `m`
    /// @param absmax F32 of 2 * ceil(n / 256) elements (m's, then v's) for the 8-bit state, else null
    public record Parameter(Tensor param, Tensor grad, Tensor m, Tensor v, Tensor absmax) {
        /// @throws IllegalArgumentException if one of them does not fit, with its name
        public Parameter {
            long n = elements(param);
            checkWritten("param", param, DType.F32, n);
            check("grad", grad, DType.F32, n);
            DType state = absmax == null ? DType.F32 : DType.U8;
            checkWritten("m", m, state, n);
            checkWritten("v", v, state, n);
            if (absmax != null) {
                checkWritten("absmax", absmax, DType.F32, 2 * Math.ceilDiv(n, BLOCK));
            }
        }

        private static void checkWritten(String name, Tensor tensor, DType dtype, long elements) {
            check(name, tensor, dtype, elements);
            if (tensor.segment().isReadOnly()) {
                throw new IllegalArgumentException(name + " is a " + tensor + " in read-only memory; a step writes it");
            }
        }

        private static void check(String name, Tensor tensor, DType dtype, long elements) {
            if (tensor.dtype() != dtype || elements(tensor) != elements || !tensor.isContiguous()) {
                throw new IllegalArgumentException(name + " is a " + tensor + "; it must be contiguous, " + dtype
                        + ", with " + elements + " elements");
            }
        }

        private static long elements(Tensor tensor) {
            return tensor.rows() * tensor.cols();
        }
    }

    private final List<Parameter> parameters;
    private final MemorySegment array;

    public AdamwParameters(List<Parameter> parameters) {
        this.parameters = List.copyOf(parameters);
        this.array = nf4j_adamw_parameter.allocateArray(parameters.size(), Arena.ofAuto());
        for (int i = 0; i < parameters.size(); i++) {
            Parameter parameter = parameters.get(i);
            MemorySegment struct = nf4j_adamw_parameter.asSlice(array, i);
            nf4j_adamw_parameter.param(struct, parameter.param().segment());
            nf4j_adamw_parameter.grad(struct, parameter.grad().segment());
            nf4j_adamw_parameter.m(struct, parameter.m().segment());
            nf4j_adamw_parameter.v(struct, parameter.v().segment());
            nf4j_adamw_parameter.absmax(struct,
                    parameter.absmax() == null ? MemorySegment.NULL : parameter.absmax().segment());
            nf4j_adamw_parameter.n(struct, parameter.param().rows() * parameter.param().cols());
        }
    }

    public List<Parameter> parameters() {
        return parameters;
    }

    /// The `nf4j_adamw_parameter` array.
    MemorySegment array() {
        return array;
    }
}
