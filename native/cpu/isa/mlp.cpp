// SwiGLU.
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(zero() - x)); }

}  // namespace

int32_t mlp_swiglu_forward(nf4j_stream *stream, const nf4j_tensor *gate, const nf4j_tensor *up, const nf4j_tensor *h) {
    with_type(gate->dtype, [&](auto *type) {
        using T = Pointee<decltype(type)>;
        for_pieces(stream, gate->rows, gate->cols, [&](int64_t row, int64_t column, int64_t count) {
            const T *g = at<T>(gate, row, column), *u = at<T>(up, row, column);
            T *out = at<T>(h, row, column);
            for_vectors(count, [&](int64_t j, int64_t n) {
                const Vec x = load(g + j, n);
                store(out + j, x * sigmoid(x) * load(u + j, n), n);
            });
        });
    });
    return NF4J_OK;
}

int32_t mlp_swiglu_backward(nf4j_stream *stream, const nf4j_tensor *dh, const nf4j_tensor *gate, const nf4j_tensor *up,
                            const nf4j_tensor *dgate, const nf4j_tensor *dup) {
    with_type(gate->dtype, [&](auto *type) {
        using T = Pointee<decltype(type)>;
        for_pieces(stream, gate->rows, gate->cols, [&](int64_t row, int64_t column, int64_t count) {
            const T *d = at<T>(dh, row, column), *g = at<T>(gate, row, column), *u = at<T>(up, row, column);
            T *dg = at<T>(dgate, row, column), *du = at<T>(dup, row, column);
            for_vectors(count, [&](int64_t j, int64_t n) {
                const Vec x = load(g + j, n), s = sigmoid(x), gradient = load(d + j, n), one = broadcast(1.0f);
                const Vec to_gate = gradient * load(u + j, n) * s * (one + x * (one - s));
                const Vec to_up = gradient * x * s;
                store(dg + j, to_gate, n);
                store(du + j, to_up, n);
            });
        });
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
