#include "reference/reference.h"
#include "reference/weight.h"

#include <algorithm>
#include <cmath>

namespace nf4j::reference {

namespace {

constexpr int64_t chunk_tokens = 16;  // tokens whose logits are in memory at once

struct Chunk {
    int64_t tokens[chunk_tokens];
    int64_t count;
};

// The next tokens from `*next` on that have a label; the others get loss 0 and dhidden 0.
Chunk next_chunk(const int32_t *labels, int64_t *next, const nf4j_tensor *loss, const nf4j_tensor *dhidden) {
    Chunk chunk = {};
    for (; *next < loss->cols && chunk.count < chunk_tokens; ++*next) {
        if (labels[*next] >= 0) {
            chunk.tokens[chunk.count++] = *next;
            continue;
        }
        store(loss, 0, *next, 0);
        for (int64_t j = 0; dhidden && j < dhidden->cols; j++) store(dhidden, *next, j, 0);
    }
    return chunk;
}

}  // namespace

int32_t loss_linear_cross_entropy(nf4j_stream *stream, const nf4j_tensor *hidden, const nf4j_linear *head,
                                  const nf4j_tensor *labels, float grad_scale, const nf4j_tensor *loss,
                                  const nf4j_tensor *dhidden) {
    const Weight w(head->dense, head->nf4, hidden->dtype);
    const int64_t n = w.in;
    const int64_t vocabulary = w.out;
    const auto *label = static_cast<const int32_t *>(labels->data);
    double *row = scratch(stream, n + chunk_tokens * (vocabulary + n));
    if (!row) return NF4J_OUT_OF_MEMORY;
    double *all_logits = row + n;
    double *gradients = all_logits + chunk_tokens * vocabulary;

    int64_t next = 0;
    while (next < hidden->rows) {
        const Chunk chunk = next_chunk(label, &next, loss, dhidden);
        for (int64_t o = 0; o < vocabulary; o++) {
            w.row(o, row);
            for (int64_t c = 0; c < chunk.count; c++) {
                double sum = load_or_zero(head->bias, o);
                for (int64_t i = 0; i < n; i++) sum += load(hidden, chunk.tokens[c], i) * row[i];
                all_logits[c * vocabulary + o] = sum;
            }
        }
        for (int64_t c = 0; c < chunk.count; c++) {
            double *logits = all_logits + c * vocabulary;
            const int64_t target = label[chunk.tokens[c]];
            const double largest = *std::max_element(logits, logits + vocabulary);
            double sum = 0;
            for (int64_t o = 0; o < vocabulary; o++) sum += std::exp(logits[o] - largest);
            const double log_sum = largest + std::log(sum);
            store(loss, 0, chunk.tokens[c], log_sum - logits[target]);
            // From here on the logits are their gradients.
            for (int64_t o = 0; o < vocabulary; o++) logits[o] = grad_scale * std::exp(logits[o] - log_sum);
            logits[target] -= grad_scale;
        }
        if (!dhidden) continue;
        std::fill_n(gradients, chunk.count * n, 0.0);
        for (int64_t o = 0; o < vocabulary; o++) {
            w.row(o, row);
            for (int64_t c = 0; c < chunk.count; c++) {
                for (int64_t i = 0; i < n; i++) gradients[c * n + i] += all_logits[c * vocabulary + o] * row[i];
            }
        }
        for (int64_t c = 0; c < chunk.count; c++) {
            for (int64_t i = 0; i < n; i++) store(dhidden, chunk.tokens[c], i, gradients[c * n + i]);
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
