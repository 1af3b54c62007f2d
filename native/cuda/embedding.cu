#include "cuda/embedding.cuh"

#include "cuda/families.h"

namespace nf4j::cuda {

int32_t embedding_forward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *table, const nf4j_tensor *y) {
    return with_type(table->dtype, [&](auto from) {
        return with_type(y->dtype, [&](auto to) {
            using From = decltype(from);
            using To = decltype(to);
            return for_each_element(stream, "embedding_forward", y->rows, y->cols,
                                    EmbeddingForward<From, To>{static_cast<const int32_t *>(ids->data), table->rows,
                                                               matrix_of<From>(table), matrix_of<To>(y)});
        });
    });
}

int32_t embedding_backward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *dy,
                           const nf4j_tensor *dtable) {
    return with_type(dy->dtype, [&](auto type) {
        using T = decltype(type);
        const Matrix<T> from = matrix_of<T>(dy);
        const Matrix<float> to = matrix_of<float>(dtable);
        return launch(stream, "embedding_backward", dy->rows, embedding_threads,
                      SharedArena::bytes_of(embedding_threads / warp_size * 4), embedding_backward_kernel<T>,
                      static_cast<const int32_t *>(ids->data), dy->rows, dtable->rows, from, to, dy->cols,
                      are_aligned(from, to));
    });
}

}  // namespace nf4j::cuda
