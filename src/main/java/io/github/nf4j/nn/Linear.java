package io.github.nf4j.nn;

import io.github.nf4j.Device;
import io.github.nf4j.autograd.LinearFunction;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.LinearWeight;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// A projection of a model: a frozen weight, dense or NF4, and perhaps an adapter on it.
public final class Linear {
    private final String path;
    private final int index;
    private final LinearWeight weight;
    private LoraAdapter adapter;

    /// @param path  as Hugging Face calls the module: `model.layers.0.self_attn.q_proj`
    /// @param index number of the projection in the model
    Linear(String path, int index, LinearWeight weight) {
        this.path = path;
        this.index = index;
        this.weight = weight;
    }

    /// The module's path as Hugging Face writes it: `model.layers.0.self_attn.q_proj`.
    public String path() {
        return path;
    }

    public LinearWeight weight() {
        return weight;
    }

    public long inFeatures() {
        return weight.cols();
    }

    public long outFeatures() {
        return weight.rows();
    }

    public Optional<LoraAdapter> adapter() {
        return Optional.ofNullable(adapter);
    }

    /// Puts an adapter on the projection, whose factors the caller then fills. It belongs to the model.
    ///
    /// @throws IllegalStateException if there is one already
    public LoraAdapter attach(Device device, LoraSettings settings) {
        if (adapter != null) {
            throw new IllegalStateException(path + " already has an adapter");
        }
        adapter = new LoraAdapter(device, path, index, outFeatures(), inFeatures(), settings);
        return adapter;
    }

    Variable forward(Pass pass, Variable x) {
        return adapter == null
                ? LinearFunction.apply(pass.tape(), x, weight)
                : LinearFunction.apply(pass.tape(), x, weight, adapter.weights(pass.dropoutSeeds()), adapter.a(), adapter.b());
    }

    /// Projections of the same `x`, with one pass over it for their adapters.
    static List<Variable> forward(Pass pass, Variable x, Linear... projections) {
        return LinearFunction.apply(pass.tape(), x, Stream.of(projections).map(projection -> projection.layer(pass)).toList());
    }

    private LinearFunction.Layer layer(Pass pass) {
        return adapter == null
                ? new LinearFunction.Layer(weight, null, null, null)
                : new LinearFunction.Layer(weight, adapter.weights(pass.dropoutSeeds()), adapter.a(), adapter.b());
    }
}
