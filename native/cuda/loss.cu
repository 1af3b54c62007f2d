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

// Tokens of a chunk, for all chunks alike: as many as the workspace has room for, in whole tiles of the products' kernels
// if there are several, and not fewer than cuBLAS takes because a chunk's share of the tokens is less.
int64_t tokens_of_chunk(int64_t tokens, int64_t room) {
    constexpr int64_t tile = 128;
    const int64_t most = room < 2 * tile ? room : room / tile * tile;
    return std::max(ceil_div(tokens, ceil_div(tokens, most)), std::min({most, tile, tokens}));
}

template <typename G>
int32_t softmax_gradient(nf4j_stream *stream, const nf4j_tensor *logits, const nf4j_tensor *gradient, bool wanted,
                         const int32_t *labels, float scale, float *loss) {
    return launch(stream, "softmax_gradient", logits->rows, loss_threads, loss_shared_bytes, softmax_gradient_kernel<G>,
                  matrix_of<float>(logits), matrix_of<G>(gradient), wanted, static_cast<uint32_t>(logits->cols), labels,
                  scale, loss);
}

}  // namespace

int32_t loss_linear_cross_entropy(nf4j_stream *stream, const nf4j_tensor *hidden, const nf4j_linear *head,
                                  const nf4j_tensor *labels, float grad_scale, const nf4j_tensor *loss,
                                  const nf4j_tensor *dhidden) {
    const int64_t vocabulary = head->dense ? head->dense->rows : head->nf4->rows;
    if (vocabulary > INT32_MAX)
        return fail(NF4J_UNSUPPORTED, "loss_linear_cross_entropy: a vocabulary of %lld has words that no label names",
                    static_cast<long long>(vocabulary));
    const int64_t ld = ceil_div(vocabulary, 16) * 16;
    void *memory = workspace(stream, "loss_linear_cross_entropy", ld * 4);
    if (!memory) return NF4J_OUT_OF_MEMORY;
    const bool bf16_states = hidden->dtype == NF4J_BF16;
    const int64_t tokens = hidden->rows;
    if (tokens == 0) return NF4J_OK;
    const int64_t chunk = tokens_of_chunk(tokens, stream->workspace_bytes / (ld * 4));
    for (int64_t done = 0; done < tokens; done += chunk) {
        // The last chunk has some tokens of the one before again rather than fewer: cuBLAS could have another kernel for
        // these, and a token's bits would follow from its place.
        const int64_t first = std::min(done, tokens - chunk);
        const nf4j_tensor logits = {memory, chunk, vocabulary, ld, NF4J_F32, 0};
        const nf4j_tensor gradient = {memory, chunk, vocabulary, bf16_states ? 2 * ld : ld, hidden->dtype, 0};
        const nf4j_tensor states = rows(hidden, first, chunk);
        Product p = product(rows_of(&states), rows_of(head), hidden->cols, &logits);
        p.bias = vector_of(head->bias);
        p.part_of_rows = true;
        int32_t status = multiply(stream, "loss_logits", p, hidden->dtype);
        if (status != NF4J_OK) return status;
        const auto of_type = bf16_states ? softmax_gradient<bf16> : softmax_gradient<float>;
        status =
            of_type(stream, &logits, &gradient, dhidden != nullptr, static_cast<const int32_t *>(labels->data) + first,
                    grad_scale, static_cast<float *>(loss->data) + first);
        if (status != NF4J_OK) return status;
        if (!dhidden) continue;
        const nf4j_tensor result = rows(dhidden, first, chunk);
        p = product(rows_of(&gradient), columns_of(head), vocabulary, &result);
        p.part_of_rows = true;
        status = multiply(stream, "loss_dhidden", p, hidden->dtype);
        if (status != NF4J_OK) return status;
    }
    return NF4J_OK;
}

}  // namespace nf4j::cuda
