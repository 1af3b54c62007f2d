package io.github.nf4j.nn;

import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.LinearFunction;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.Variable;
import io.github.nf4j.op.PackedSequences;
import java.util.ArrayList;
import java.util.List;

/// What all layers share in one forward pass. A model has one object for all its passes.
final class Pass {
    private final List<LinearFunction.Layer> layers = new ArrayList<>();
    private final List<Variable> outputs = new ArrayList<>();
    private Tape tape;
    private PackedSequences sequences;
    private Tensor ropeTable;
    private Tensor dropoutSeeds;
    private KvCache cache;

    /// A pass over sequences that attend to themselves alone.
    Pass begin(Tape onTape, DeviceBatch batch) {
        return begin(onTape, batch.sequences(), batch.ropeTable(), batch.dropoutSeeds(), null);
    }

    /// A pass over sequences that are continued, without dropout.
    Pass begin(Tape onTape, PackedSequences continued, Tensor newRopeTable, KvCache newCache) {
        return begin(onTape, continued, newRopeTable, null, newCache);
    }

    private Pass begin(Tape onTape, PackedSequences newSequences, Tensor newRopeTable, Tensor newDropoutSeeds, KvCache newCache) {
        tape = onTape;
        sequences = newSequences;
        ropeTable = newRopeTable;
        dropoutSeeds = newDropoutSeeds;
        cache = newCache;
        return this;
    }

    Tape tape() {
        return tape;
    }

    /// Where the sequences lie in the rows of the activations, and in those of the cache if there is one.
    PackedSequences sequences() {
        return sequences;
    }

    /// cos and sin for the position of each row.
    Tensor ropeTable() {
        return ropeTable;
    }

    /// I64 [1, projections]: seeds of the adapters' dropout; without them (null) nothing is dropped.
    Tensor dropoutSeeds() {
        return dropoutSeeds;
    }

    /// Where keys and values are kept, or null where sequences attend to themselves alone.
    KvCache cache() {
        return cache;
    }

    /// As the next, a list for the calls of [Linear#forward(Pass, Variable, List)], which make none.
    List<LinearFunction.Layer> layers() {
        return layers;
    }

    List<Variable> outputs() {
        return outputs;
    }
}
