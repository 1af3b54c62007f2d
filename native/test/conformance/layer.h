// A frozen linear layer among the inputs of a problem.
#pragma once

#include "suite.h"

namespace conformance {

struct Layer {
    int64_t out, in;
    int dense = none;  // matrix
    int nf4 = none;    // weight
    int bias = none;   // matrix

    // The tensors that an nf4j_linear points to live in the call.
    nf4j_linear linear(const Call &call) const {
        nf4j_linear l = {};
        l.struct_size = sizeof l;
        l.dense = call[dense];
        l.nf4 = call.weight(nf4);
        l.bias = call[bias];
        return l;
    }
    // Element (o, i), rounded to the type of the activations.
    double at(const Problem &p, int64_t o, int64_t i, int32_t activations) const {
        if (nf4 != none) return rounded(activations, p.weights[static_cast<size_t>(nf4)].at(o, i));
        return rounded(activations, p.matrices[static_cast<size_t>(dense)].at(o, i));
    }
    // All of them, row after row.
    std::vector<double> elements(const Problem &p, int32_t activations) const {
        std::vector<double> all;
        for (int64_t o = 0; o < out; o++) {
            for (int64_t i = 0; i < in; i++) all.push_back(at(p, o, i, activations));
        }
        return all;
    }
};

// What a layer is made of.
struct LayerOptions {
    int32_t dense = NF4J_F32;  // its type where block_size is 0
    int64_t block_size = 0;    // of NF4
    bool nested = false;
    int32_t bias = 0;  // its type, or 0
    bool exact = false;
};

inline Layer make_layer(Problem &p, Random &random, int64_t out, int64_t in, const LayerOptions &options) {
    Layer layer = {out, in};
    const auto fill = [&](Matrix &m) { options.exact ? m.integers(random, -3, 3) : m.normals(random); };
    if (options.block_size > 0) {
        layer.nf4 = static_cast<int>(p.weights.size());
        p.weights.emplace_back(out, in, options.block_size, options.nested);
        options.exact ? p.weights.back().integers(random) : p.weights.back().reals(random);
        p.decoded_wrongly(layer.nf4);
    } else {
        layer.dense = p.input("w", out, in, options.dense);
        fill(p[layer.dense]);
        p.off_by_one_row(layer.dense);
        p.off_by_one_column(layer.dense);
    }
    if (options.bias) {
        layer.bias = p.input("bias", 1, out, options.bias);
        fill(p[layer.bias]);
    }
    return layer;
}

inline std::string describe(const LayerOptions &o) {
    std::string what = o.block_size ? text("nf4-%d%s", static_cast<int>(o.block_size), o.nested ? "-nested" : "")
                                    : text("dense-%s", name_of(o.dense));
    if (o.bias) what += text("-bias-%s", name_of(o.bias));
    return what + (o.exact ? "-exact" : "");
}

}  // namespace conformance
