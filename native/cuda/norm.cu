#include "cuda/norm.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"

namespace nf4j::cuda {

int32_t norm_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *weight, float eps,
                     const nf4j_tensor *rstd, const nf4j_tensor *y) {
    return with_type(x->dtype, [&](auto type) {
        using T = decltype(type);
        const Matrix<T> from = matrix_of<T>(x), to = matrix_of<T>(y);
        const AnyVector w = vector_of(weight);
        return launch(stream, "norm_forward", x->rows, norm_threads, reduce_bytes<norm_threads, float>(),
                      norm_forward_kernel<T>, from, w, eps, static_cast<float *>(rstd->data), to, x->cols,
                      are_aligned(from, w, to));
    });
}

int32_t norm_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *x, const nf4j_tensor *weight,
                      const nf4j_tensor *rstd, int32_t accumulate_dx, const nf4j_tensor *dweight,
                      const nf4j_tensor *dx) {
    const int64_t n = x->cols, chunks = ceil_div(x->rows, norm_chunk);
    const auto *r = static_cast<const float *>(rstd->data);
    return with_type(x->dtype, [&](auto type) {
        using T = decltype(type);
        const Matrix<T> gradient = matrix_of<T>(dy), value = matrix_of<T>(x), result = matrix_of<T>(dx);
        const AnyVector w = vector_of(weight);
        if (dweight) {  // before dx, which may overwrite dy
            constexpr int cols = norm_dweight_cols<T>;
            auto *partial = static_cast<float *>(workspace(stream, "norm_backward", chunks * n * 4));
            if (!partial) return int32_t{NF4J_OUT_OF_MEMORY};
            int32_t status = launch(stream, "norm_dweight", chunks * ceil_div(n, cols), norm_threads,
                                    SharedArena::bytes_of(norm_warps * cols * 4), norm_dweight_kernel<T>, gradient,
                                    value, r, x->rows, n, partial, are_aligned(gradient, value));
            if (status != NF4J_OK) return status;
            status = launch(stream, "add_rows", ceil_div(n, norm_threads), norm_threads, 0, add_rows_kernel, partial,
                            chunks, n, static_cast<float *>(dweight->data));
            if (status != NF4J_OK) return status;
        }
        return launch(stream, "norm_backward", x->rows, norm_threads, reduce_bytes<norm_threads, float>(),
                      norm_backward_kernel<T>, gradient, value, w, r, accumulate_dx != 0, result, n,
                      are_aligned(gradient, value, w, result));
    });
}

}  // namespace nf4j::cuda
