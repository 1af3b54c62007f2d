#include "cuda/mlp.cuh"

#include "cuda/families.h"

namespace nf4j::cuda {

int32_t mlp_swiglu_forward(nf4j_stream *stream, const nf4j_tensor *gate, const nf4j_tensor *up, const nf4j_tensor *h) {
    return with_type(h->dtype, [&](auto type) {
        using T = decltype(type);
        return for_each_element(stream, "swiglu_forward", h->rows, h->cols,
                                SwiGluForward<T>{matrix_of<T>(gate), matrix_of<T>(up), matrix_of<T>(h)});
    });
}

int32_t mlp_swiglu_backward(nf4j_stream *stream, const nf4j_tensor *dh, const nf4j_tensor *gate, const nf4j_tensor *up,
                            const nf4j_tensor *dgate, const nf4j_tensor *dup) {
    return with_type(dh->dtype, [&](auto type) {
        using T = decltype(type);
        return for_each_element(stream, "swiglu_backward", dh->rows, dh->cols,
                                SwiGluBackward<T>{matrix_of<T>(dh), matrix_of<T>(gate), matrix_of<T>(up),
                                                  matrix_of<T>(dgate), matrix_of<T>(dup)});
    });
}

}  // namespace nf4j::cuda
