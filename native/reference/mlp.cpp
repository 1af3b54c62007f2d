#include "reference/element.h"
#include "reference/reference.h"

#include <cmath>

namespace nf4j::reference {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

int32_t mlp_swiglu_forward(nf4j_stream *, const nf4j_tensor *gate, const nf4j_tensor *up, const nf4j_tensor *h) {
    for (int64_t t = 0; t < h->rows; t++) {
        for (int64_t j = 0; j < h->cols; j++) {
            const double g = load(gate, t, j);
            store(h, t, j, g * sigmoid(g) * load(up, t, j));
        }
    }
    return NF4J_OK;
}

int32_t mlp_swiglu_backward(nf4j_stream *, const nf4j_tensor *dh, const nf4j_tensor *gate, const nf4j_tensor *up,
                            const nf4j_tensor *dgate, const nf4j_tensor *dup) {
    for (int64_t t = 0; t < dh->rows; t++) {
        for (int64_t j = 0; j < dh->cols; j++) {
            const double d = load(dh, t, j);
            const double g = load(gate, t, j);
            const double u = load(up, t, j);
            const double sig = sigmoid(g);
            store(dgate, t, j, d * u * sig * (1 + g * (1 - sig)));
            store(dup, t, j, d * g * sig);
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
