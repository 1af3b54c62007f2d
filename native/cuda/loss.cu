// Cross-entropy of a linear head by chunks of tokens whose logits fit the workspace. Labels are in device memory, so
// masked tokens are multiplied like the others, and their gradient's row of zeros makes them cost nothing.
#include "cuda/loss.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/product.h"

#include <algorithm>

namespace nf4j::cuda {

namespace {

nf4j_tensor rows(const nf4j_tensor *x, int64_t first, int64_t count) {
    nf4j_tensor part = *x;
    part.data = static_cast<char *>(x->data) + first * x->ld * dtype_size(x->dtype);
    part.rows = count;
    return part;
}

}  // namespace

int32_t loss_linear_cross_entropy(nf4j_stream *stream, const nf4j_tensor *hidden, const nf4j_linear *head,
                                  const nf4j_tensor *labels, float grad_scale, const nf4j_tensor *loss,
                                  const nf4j_tensor *dhidden) {
    const int64_t vocabulary = head->dense ? head->dense->rows : head->nf4->rows;
    const int64_t ld = ceil_div(vocabulary, 16) * 16;
    void *memory = workspace(stream, "loss_linear_cross_entropy", ld * 4);
    if (!memory) return NF4J_OUT_OF_MEMORY;
    const int64_t chunk = stream->workspace_bytes / (ld * 4);
    for (int64_t first = 0; first < hidden->rows; first += chunk) {
        const int64_t count = std::min(chunk, hidden->rows - first);
        const nf4j_tensor logits = {memory, count, vocabulary, ld, NF4J_F32, 0};
        const nf4j_tensor states = rows(hidden, first, count);
        Product p = product(rows_of(&states), rows_of(head), hidden->cols, &logits);
        p.bias = vector_of(head->bias);
        p.part_of_rows = true;
        int32_t status = multiply(stream, "loss_logits", p, hidden->dtype);
        if (status != NF4J_OK) return status;
        status = launch(stream, "softmax_gradient", count, loss_threads, loss_shared_bytes, softmax_gradient_kernel,
                        matrix_of<float>(&logits), vocabulary, static_cast<const int32_t *>(labels->data) + first,
                        grad_scale, static_cast<float *>(loss->data) + first);
        if (status != NF4J_OK) return status;
        if (!dhidden) continue;
        const nf4j_tensor gradient = rows(dhidden, first, count);
        p = product(exactly(rows_of(&logits)), columns_of(head), vocabulary, &gradient);
        p.part_of_rows = true;
        status = multiply(stream, "loss_dhidden", p, hidden->dtype);
        if (status != NF4J_OK) return status;
    }
    return NF4J_OK;
}

}  // namespace nf4j::cuda
