// Cross-entropy of a linear head. Tokens that count are gathered into chunks; a chunk's logits stand in the workspace,
// where they turn into the gradient of the logits. A token's result does not depend on the chunk that it is in.
#include "cpu/device.h"
#include "cpu/isa/gemm.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

// One token: `logits` become scale * (softmax(logits) - onehot(label)). Returns the loss.
float softmax_gradient(float *logits, int64_t n, int64_t label, float scale) {
    Vec largest = broadcast(logits[0]);
    for (int64_t j = 0; j < n; j += lanes) {
        const Vec values = n - j < lanes ? select(lane_numbers() < broadcast(static_cast<float>(n - j)),
                                                  load(logits + j, n - j), largest)
                                         : load(logits + j);
        largest = max(largest, values);
    }
    const float top = reduce_max(largest), at_label = logits[label];

    // Lanes add up some hundred terms each; what they give is added in double.
    constexpr int64_t run = 256 * lanes;
    double sum = 0;
    for (int64_t begin = 0; begin < n; begin += run) {
        const int64_t end = n - begin < run ? n : begin + run;
        Vec partial = zero();
        for (int64_t j = begin; j < end; j += lanes) {
            const int64_t count = end - j < lanes ? end - j : lanes;
            const Vec e = exp(load(logits + j, count) - broadcast(top));
            store(logits + j, e, count);
            partial = partial + select(lane_numbers() < broadcast(static_cast<float>(count)), e, zero());
        }
        sum += static_cast<double>(reduce_add(partial));
    }
    const Vec factor = broadcast(static_cast<float>(static_cast<double>(scale) / sum));
    for (int64_t j = 0; j < n; j += lanes) {
        const int64_t count = n - j < lanes ? n - j : lanes;
        store(logits + j, load(logits + j, count) * factor, count);
    }
    logits[label] -= scale;
    return static_cast<float>(__builtin_log(sum) + static_cast<double>(top) - static_cast<double>(at_label));
}

char *row_at(const nf4j_tensor &t, int64_t row) {
    return static_cast<char *>(t.data) + row * t.ld * dtype_size(t.dtype);
}

}  // namespace

int32_t loss_linear_cross_entropy(nf4j_stream *stream, const nf4j_tensor *hidden, const nf4j_linear *head,
                                  const nf4j_tensor *labels, float grad_scale, const nf4j_tensor *loss,
                                  const nf4j_tensor *dhidden) {
    ThreadPool &pool = pool_of(stream);
    const int64_t vocabulary = head->dense ? head->dense->rows : head->nf4->rows;
    const int32_t *label = static_cast<const int32_t *>(labels->data);
    float *losses = static_cast<float *>(loss->data);

    // The workspace: logits, then hidden states (which their gradient replaces), then the numbers of a chunk's tokens.
    const int64_t row_bytes = hidden->cols * dtype_size(hidden->dtype);
    const int64_t padded_row = (row_bytes + 63) / 64 * 64;
    const int64_t logits_row = (vocabulary * int64_t{sizeof(float)} + 63) / 64 * 64;
    const int64_t token_bytes = logits_row + padded_row + int64_t{sizeof(int64_t)};
    const int64_t capacity = stream->workspace_bytes / token_bytes;
    if (capacity < 1) {
        return fail(NF4J_OUT_OF_MEMORY,
                    "loss_linear_cross_entropy: one token's logits over a vocabulary of %lld need a workspace of %lld "
                    "bytes, the stream "
                    "has %lld",
                    static_cast<long long>(vocabulary), static_cast<long long>(token_bytes),
                    static_cast<long long>(stream->workspace_bytes));
    }
    nf4j_tensor logits = {stream->workspace, 0, vocabulary, logits_row / int64_t{sizeof(float)}, NF4J_F32, 0};
    nf4j_tensor states = {stream->workspace + capacity * logits_row,
                          0,
                          hidden->cols,
                          padded_row / dtype_size(hidden->dtype),
                          hidden->dtype,
                          0};
    int64_t *tokens = reinterpret_cast<int64_t *>(stream->workspace + capacity * (logits_row + padded_row));

    for (int64_t next = 0; next < hidden->rows;) {
        int64_t count = 0;
        for (; next < hidden->rows && count < capacity; next++) {
            if (label[next] >= 0) {
                std::memcpy(row_at(states, count), row_at(*hidden, next), static_cast<size_t>(row_bytes));
                tokens[count++] = next;
            } else {
                losses[next] = 0;
                if (dhidden) std::memset(row_at(*dhidden, next), 0, static_cast<size_t>(row_bytes));
            }
        }
        if (count == 0) break;
        logits.rows = states.rows = count;
        Product p = product({rows_of(states), rows_of(*head), hidden->cols, words_for(hidden->dtype)}, &logits);
        p.bias = head->bias;
        multiply(pool, p);
        pool.parallel_for(count, [&](int64_t i, int) {
            const int64_t t = tokens[i];
            losses[t] =
                softmax_gradient(reinterpret_cast<float *>(row_at(logits, i)), vocabulary, label[t], grad_scale);
        });
        if (dhidden) {
            // The head is what it was in the forward product; pairs round the gradient of the logits to BF16, too.
            multiply(pool,
                     product({rows_of(logits), columns_of(*head), vocabulary, words_for(hidden->dtype)}, &states));
            for (int64_t i = 0; i < count; i++) {
                std::memcpy(row_at(*dhidden, tokens[i]), row_at(states, i), static_cast<size_t>(row_bytes));
            }
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
