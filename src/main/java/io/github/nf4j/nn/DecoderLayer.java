package io.github.nf4j.nn;

import io.github.nf4j.autograd.AddFunction;
import io.github.nf4j.autograd.Tape;
import io.github.nf4j.autograd.Variable;

/// One block of a decoder: attention and MLP, each behind a norm and added to the residual stream.
///
/// @param path as Hugging Face calls the module: `model.layers.0`
record DecoderLayer(String path, RmsNorm attentionNorm, SelfAttention attention, RmsNorm mlpNorm, SwiGluMlp mlp) {
    /// @param x consumed
    Variable forward(Pass pass, Variable x) {
        Tape tape = pass.tape();
        tape.section(path);
        Variable normed = attentionNorm.forward(tape, x);
        Variable attended = attention.forward(pass, normed);
        normed.release();
        Variable middle = AddFunction.apply(tape, x, attended);
        Variable normedMiddle = mlpNorm.forward(tape, middle);
        Variable transformed = mlp.forward(pass, normedMiddle);
        normedMiddle.release();
        Variable y = AddFunction.apply(tape, middle, transformed);
        tape.section(null);
        return y;
    }
}
