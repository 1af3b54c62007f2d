package io.github.nf4j.op;

import io.github.nf4j.DType;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.bindings.Nf4jH;
import io.github.nf4j.bindings.nf4j_adamw_options;
import io.github.nf4j.internal.Call;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Family `optim`: all parameters of an optimizer in one call.
public final class OptimOps {
    private OptimOps() {
    }

    /// `norm` [1, 2] F32 = the global L2 norm of the gradients, and the factor min(1, maxNorm / (norm + 1e-6)) that
    /// clips it.
    ///
    /// @param maxNorm with 0 or less the factor is 1
    public static void globalNorm(Stream stream, AdamwParameters parameters, float maxNorm, Tensor norm) {
        try (Call call = Call.on(stream, "optim.global_norm")) {
            MemorySegment array = array(call, parameters);
            MemorySegment output = call.output(norm);
            call.check(call.keepsArenas()
                    ? call.whileOpen(
                            () -> Nf4jH.nf4j_optim_global_norm(call.stream(), array, parameters.parameters().size(), maxNorm, output))
                    : Nf4jH.nf4j_optim_global_norm(call.stream(), array, parameters.parameters().size(), maxNorm, output));
        }
    }

    /// What [AdamwOptions#deviceStep] of the next steps shall be: the rate, the decay and the corrections of `options`.
    ///
    /// @param step U8 [1, [AdamwOptions#STEP_BYTES]], written
    public static void adamwStep(Stream stream, AdamwOptions options, Tensor step) {
        AdamwOptions.checkStep(step);
        if (step.segment().isReadOnly()) {
            throw new IllegalArgumentException(step + " is an output of this call, but its memory is read-only");
        }
        try (Call call = Call.on(stream, "optim.adamw_step")) {
            MemorySegment struct = struct(call, options);
            MemorySegment output = call.data(step);
            call.check(call.keepsArenas() ? call.whileOpen(() -> Nf4jH.nf4j_optim_adamw_step(call.stream(), struct, output))
                    : Nf4jH.nf4j_optim_adamw_step(call.stream(), struct, output));
        }
    }

    /// One AdamW step in torch's order of operations: decay, moments, update. An 8-bit state then takes the nearest
    /// codes.
    ///
    /// @param gradScale [1, 1] F32 that every gradient is first multiplied by, such as the second column of
    ///                  [#globalNorm]'s result; or null
    public static void adamw(Stream stream, AdamwOptions options, AdamwParameters parameters, Tensor gradScale) {
        if (gradScale != null && (gradScale.dtype() != DType.F32 || gradScale.rows() != 1 || gradScale.cols() != 1)) {
            throw new IllegalArgumentException("gradScale is a " + gradScale + "; it must be F32 [1, 1]");
        }
        try (Call call = Call.on(stream, "optim.adamw")) {
            MemorySegment struct = struct(call, options);
            MemorySegment array = array(call, parameters);
            MemorySegment factor = call.data(gradScale);
            call.check(call.keepsArenas()
                    ? call.whileOpen(() -> Nf4jH.nf4j_optim_adamw(call.stream(), struct, array, parameters.parameters().size(), factor))
                    : Nf4jH.nf4j_optim_adamw(call.stream(), struct, array, parameters.parameters().size(), factor));
        }
    }

    private static MemorySegment struct(Call call, AdamwOptions options) {
        MemorySegment struct = call.options(nf4j_adamw_options.sizeof());
        nf4j_adamw_options.learning_rate(struct, options.learningRate());
        nf4j_adamw_options.beta1(struct, options.beta1());
        nf4j_adamw_options.beta2(struct, options.beta2());
        nf4j_adamw_options.eps(struct, options.eps());
        nf4j_adamw_options.weight_decay(struct, options.weightDecay());
        nf4j_adamw_options.step(struct, options.step());
        nf4j_adamw_options.device_step(struct, call.innerData(options.deviceStep()));
        return struct;
    }

    private static MemorySegment array(Call call, AdamwParameters parameters) {
        List<AdamwParameters.Parameter> list = parameters.parameters();
        for (int i = 0; i < list.size(); i++) { // an iterator would be an object
            AdamwParameters.Parameter parameter = list.get(i);
            call.innerData(parameter.param());
            call.innerData(parameter.grad());
            call.innerData(parameter.m());
            call.innerData(parameter.v());
            call.innerData(parameter.absmax());
        }
        call.keep(parameters);
        return parameters.array();
    }
}
