package io.github.nf4j.nn;

import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.op.PackedSequences;

/// What all layers share in one forward pass.
///
/// @param sequences    where the sequences lie in the rows of the activations, and in those of the cache if there is one
/// @param ropeTable    cos and sin for the position of each row
/// @param dropoutSeeds I64 [1, projections]: seeds of the adapters' dropout; without them (null) nothing is dropped
/// @param cache        where keys and values are kept, or null where sequences attend to themselves alone
record Pass(Tape tape, PackedSequences sequences, Tensor ropeTable, Tensor dropoutSeeds, KvCache cache) {
}
