package io.github.nf4j.nn;

import io.github.nf4j.autograd.SwiGluFunction;
import io.github.nf4j.autograd.Variable;

/// `down(silu(gate(x)) · up(x))`.
record SwiGluMlp(Linear gate, Linear up, Linear down) {
    Variable forward(Pass pass, Variable x) {
        Variable hidden = SwiGluFunction.apply(pass.tape(), gate.forward(pass, x), up.forward(pass, x));
        Variable y = down.forward(pass, hidden);
        hidden.release();
        return y;
    }
}
