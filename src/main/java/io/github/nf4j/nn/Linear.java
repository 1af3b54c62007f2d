package io.github.nf4j.nn;

import io.github.nf4j.Device;
import io.github.nf4j.autograd.LinearFunction;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.LinearWeight;
import java.util.List;
import java.util.Optional;

/// A projection of a model: a frozen weight, dense or NF4, and perhaps an adapter on it.
public final class Linear {
    private final String path;
    private final int index;
    private final LinearWeight weight;
    private LoraAdapter adapter;
    private LinearFunction.Layer layer;

    /// @param path  as Hugging Face calls the module: `model.layers.0.self_attn.q_proj`
    /// @param index number of the projection in the model
    Linear(String path, int index, LinearWeight weight) {
        this.path = path;
        this.index = index;
        this.weight = weight;
        this.layer = new LinearFunction.Layer(weight);
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
        return LinearFunction.apply(pass.tape(), x, layer(pass));
    }

    /// Projections of the same `x`, with one pass over it for their adapters.
    ///
    /// @return their outputs, in a list that the next call uses again
    static List<Variable> forward(Pass pass, Variable x, List<Linear> projections) {
        pass.layers().clear();
        for (int i = 0; i < projections.size(); i++) { // an iterator would be an object
            pass.layers().add(projections.get(i).layer(pass));
        }
        LinearFunction.apply(pass.tape(), x, pass.layers(), pass.outputs());
        return pass.outputs();
    }

    /// The layer as it is in this pass: an object that stays the same as long as the adapter's weights do.
    private LinearFunction.Layer layer(Pass pass) {
        if (adapter != null && layer.lora() != adapter.weights(pass.dropoutSeeds())) {
            layer = new LinearFunction.Layer(weight, adapter.weights(pass.dropoutSeeds()), adapter.a(), adapter.b());
        }
        return layer;
    }
}
