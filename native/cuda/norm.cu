#include "cuda/norm.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"

namespace nf4j::cuda {

int32_t norm_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *weight, float eps,
                     const nf4j_tensor *rstd, const nf4j_tensor *y) {
    return with_type(x->dtype, [&](auto type) {
        using T = decltype(type);
        return launch(stream, "norm_forward", x->rows, norm_threads, reduce_bytes<norm_threads, float>(),
                      norm_forward_kernel<T>, matrix_of<T>(x), vector_of(weight), eps, static_cast<float *>(rstd->data),
                      matrix_of<T>(y), x->cols);
    });
}

int32_t norm_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *x, const nf4j_tensor *weight,
                      const nf4j_tensor *rstd, int32_t accumulate_dx, const nf4j_tensor *dweight,
                      const nf4j_tensor *dx) {
    const int64_t n = x->cols, chunks = ceil_div(x->rows, norm_chunk), pieces = ceil_div(n, norm_threads);
    const auto *r = static_cast<const float *>(rstd->data);
    return with_type(x->dtype, [&](auto type) {
        using T = decltype(type);
        if (dweight) {  // before dx, which may overwrite dy
            auto *partial = static_cast<float *>(workspace(stream, "norm_backward", chunks * n * 4));
            if (!partial) return int32_t{NF4J_OUT_OF_MEMORY};
            int32_t status = launch(stream, "norm_dweight", chunks * pieces, norm_threads, 0, norm_dweight_kernel<T>,
                                    matrix_of<T>(dy), matrix_of<T>(x), r, x->rows, n, partial);
            if (status != NF4J_OK) return status;
            status = launch(stream, "add_rows", pieces, norm_threads, 0, add_rows_kernel, partial, chunks, n,
                            static_cast<float *>(dweight->data));
            if (status != NF4J_OK) return status;
        }
        return launch(stream, "norm_backward", x->rows, norm_threads, reduce_bytes<norm_threads, float>(),
                      norm_backward_kernel<T>, matrix_of<T>(dy), matrix_of<T>(x), vector_of(weight), r,
                      accumulate_dx != 0, matrix_of<T>(dx), n);
    });
}

}  // namespace nf4j::cuda
