package io.github.nf4j.optim;

import io.github.nf4j.DType;
import io.github.nf4j.Memory;
import io.github.nf4j.Stream;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Parameter;
import io.github.nf4j.internal.Undo;
import io.github.nf4j.op.AdamwOptions;
import io.github.nf4j.op.AdamwParameters;
import io.github.nf4j.op.MemoryOps;
import io.github.nf4j.op.OptimOps;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/// AdamW with decoupled weight decay over a list of parameters, all in one call a step.
///
/// With 32-bit states the order of operations is torch's; with 8-bit states it is that of bitsandbytes' `AdamW8bit`, which keeps
/// the moments as indices into its dynamic maps, in blocks of 256 with one scale each. As there, parameters with fewer than 4096
/// elements keep 32-bit states.
public final class AdamW implements AutoCloseable {
    private static final int BLOCK = 256;
    private static final int SMALLEST_8BIT = 4096;

    private final Stream stream;
    private final Settings settings;
    private final List<Parameter> parameters;
    private final List<State> states = new ArrayList<>();
    private final Tensor norm;
    private final Tensor gradScale;
    private final Tensor deviceStep;
    private final AdamwOptions updateOptions;
    private AdamwParameters arguments;
    private long step;

    /// @param beta1       decay of the first moment
    /// @param beta2       decay of the second moment
    /// @param epsilon     added to the root of the second moment
    /// @param weightDecay decoupled decay
    /// @param stateBits   32 or 8
    /// @param paged       whether the moments are in memory that a GPU fetches when it needs them ([Memory#allocatePaged])
    public record Settings(double beta1, double beta2, double epsilon, double weightDecay, int stateBits, boolean paged) {
        public Settings {
            if (stateBits != 32 && stateBits != 8) {
                throw new IllegalArgumentException("stateBits is " + stateBits + "; expected 32 or 8");
            }
        }

        /// Moments in device memory.
        public Settings(double beta1, double beta2, double epsilon, double weightDecay, int stateBits) {
            this(beta1, beta2, epsilon, weightDecay, stateBits, false);
        }

        /// torch's defaults: betas 0.9 and 0.999, epsilon 1e-8, 32-bit states.
        public static Settings of(double weightDecay) {
            return of(weightDecay, false);
        }

        /// The same, with a choice of the moments' memory.
        public static Settings of(double weightDecay, boolean paged) {
            return new Settings(0.9, 0.999, 1e-8, weightDecay, 32, paged);
        }
    }

    /// The moments of one parameter, for checkpoints.
    ///
    /// @param m      first moment, of the parameter's shape: F32, or U8 for an 8-bit state
    /// @param v      second moment, likewise
    /// @param absmax F32 [2, blocks]: scales of `m`, then of `v`; null for a 32-bit state
    public record State(Parameter parameter, Tensor m, Tensor v, Tensor absmax) {
    }

    /// An optimizer whose moments are zero.
    public AdamW(Stream stream, List<Parameter> parameters, Settings settings) {
        this.stream = stream;
        this.settings = settings;
        this.parameters = List.copyOf(parameters);
        try (Undo undo = new Undo()) {
            this.norm = tensor(undo, DType.F32, 1, 2);
            this.gradScale = norm.columns(1, 1);
            this.deviceStep = tensor(undo, DType.U8, 1, AdamwOptions.STEP_BYTES);
            this.updateOptions = options(0, 1, deviceStep);
            parameters.forEach(parameter -> states.add(state(undo, parameter)));
            undo.keep();
        }
    }

    private State state(Undo undo, Parameter parameter) {
        long rows = parameter.value().rows();
        long cols = parameter.value().cols();
        if (settings.stateBits == 32 || rows * cols < SMALLEST_8BIT) {
            return new State(parameter, moment(undo, DType.F32, rows, cols), moment(undo, DType.F32, rows, cols), null);
        }
        return new State(parameter, moment(undo, DType.U8, rows, cols), moment(undo, DType.U8, rows, cols),
                tensor(undo, DType.F32, 2, Math.ceilDiv(rows * cols, BLOCK)));
    }

    private Tensor moment(Undo undo, DType dtype, long rows, long cols) {
        return settings.paged ? zero(undo, Tensor.allocatePaged(stream.device(), dtype, rows, cols)) : tensor(undo, dtype, rows, cols);
    }

    private Tensor tensor(Undo undo, DType dtype, long rows, long cols) {
        return zero(undo, Tensor.allocate(stream.device(), dtype, rows, cols));
    }

    private Tensor zero(Undo undo, Tensor tensor) {
        undo.add(tensor::close);
        MemoryOps.fill(stream, 0, tensor);
        return tensor;
    }

    /// Sets the gradients of all parameters to zero.
    public void zeroGrad() {
        for (int i = 0; i < parameters.size(); i++) { // as below, an iterator would be an object
            parameters.get(i).zeroGrad(stream);
        }
    }

    /// Updates the parameters from their gradients.
    ///
    /// @param learningRate of this step
    /// @param maxNorm      the gradients' global L2 norm is clipped to this; 0 for no clipping
    /// @return the norm before clipping
    public double step(double learningRate, double maxNorm) {
        begin(learningRate);
        update(maxNorm);
        return norm();
    }

    /// Begins the next step: what [#update] needs of it goes to device memory.
    ///
    /// @param learningRate of this step
    public void begin(double learningRate) {
        step++;
        OptimOps.adamwStep(stream, options(learningRate, step, null), deviceStep);
    }

    /// The calls of the step that was begun, which a [io.github.nf4j.Graph] can capture: they are the same for every step.
    ///
    /// @param maxNorm the gradients' global L2 norm is clipped to this; 0 for no clipping
    public void update(double maxNorm) {
        if (arguments == null) {
            arguments = new AdamwParameters(states.stream().map(state -> new AdamwParameters.Parameter(
                    state.parameter.value(), state.parameter.grad(), state.m, state.v, state.absmax)).toList());
        }
        if (settings.paged) {
            for (int i = 0; i < states.size(); i++) {
                MemoryOps.prefetch(stream, states.get(i).m);
                MemoryOps.prefetch(stream, states.get(i).v);
            }
        }
        OptimOps.globalNorm(stream, arguments, (float) maxNorm, norm);
        OptimOps.adamw(stream, updateOptions, arguments, gradScale);
    }

    private AdamwOptions options(double learningRate, long number, Tensor factors) {
        return new AdamwOptions((float) learningRate, (float) settings.beta1, (float) settings.beta2, (float) settings.epsilon,
                (float) settings.weightDecay, number, factors);
    }

    /// The gradients' global L2 norm in the last update, before clipping.
    public double norm() {
        try (Arena arena = Arena.ofConfined()) {
            Tensor host = Tensor.ofHost(arena.allocate(2 * Float.BYTES, Float.BYTES), DType.F32, 1, 2);
            MemoryOps.copy(stream, norm, host);
            stream.synchronize();
            return host.getFloat(0, 0);
        }
    }

    /// Steps taken so far.
    public long steps() {
        return step;
    }

    /// The moments, in the order of the parameters. Whoever restores a checkpoint writes them and calls [#resumeAt].
    public List<State> states() {
        return List.copyOf(states);
    }

    /// Goes on as if `steps` steps had been taken.
    public void resumeAt(long steps) {
        this.step = steps;
    }

    /// Frees the moments; the parameters are their owners'.
    @Override
    public void close() {
        states.forEach(state -> {
            state.m.close();
            state.v.close();
            if (state.absmax != null) {
                state.absmax.close();
            }
        });
        norm.close();
        deviceStep.close();
    }
}
