package io.github.nf4j.nn;

import io.github.nf4j.autograd.SwiGluFunction;
import io.github.nf4j.autograd.Variable;
import java.util.List;

/// `down(silu(gate(x)) · up(x))`.
record SwiGluMlp(List<Linear> gateUp, Linear down) {
    Variable forward(Pass pass, Variable x) {
        List<Variable> projected = Linear.forward(pass, x, gateUp);
        Variable hidden = SwiGluFunction.apply(pass.tape(), projected.get(0), projected.get(1));
        Variable y = down.forward(pass, hidden);
        hidden.release();
        return y;
    }
}
