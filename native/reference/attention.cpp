#include "reference/element.h"
#include "reference/reference.h"

#include <algorithm>
#include <cmath>

namespace nf4j::reference {

namespace {

// One sequence: its rows of q, and of k and v.
struct Sequence {
    int64_t q_begin, queries;
    int64_t kv_begin, keys;
    int64_t window;

    Sequence(const nf4j_attention_options *options, int64_t s)
        : q_begin(options->q_offsets[s]),
          queries(options->q_offsets[s + 1] - q_begin),
          kv_begin(options->kv_offsets ? options->kv_offsets[s] : q_begin),
          keys(options->kv_lengths ? options->kv_lengths[s] : queries),
          window(options->window) {}

    // The keys that query i of the sequence sees: first ... last.
    int64_t last_key(int64_t i) const { return keys - queries + i; }
    int64_t first_key(int64_t i) const { return window > 0 ? std::max<int64_t>(0, last_key(i) - window + 1) : 0; }
};

double dot(const nf4j_tensor *a, int64_t a_row, int64_t a_head, const nf4j_tensor *b, int64_t b_row, int64_t b_head,
           int64_t head_dim) {
    double sum = 0;
    for (int64_t d = 0; d < head_dim; d++) {
        sum += load(a, a_row, a_head * head_dim + d) * load(b, b_row, b_head * head_dim + d);
    }
    return sum;
}

}  // namespace

int32_t attention_forward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                          const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out) {
    const int64_t head_dim = options->head_dim;
    double *scores = scratch(stream, k->rows);
    if (!scores) return NF4J_OUT_OF_MEMORY;
    for (int64_t s = 0; s < options->sequences; s++) {
        const Sequence sequence(options, s);
        for (int64_t i = 0; i < sequence.queries; i++) {
            const int64_t row = sequence.q_begin + i;
            const int64_t first = sequence.first_key(i);
            const int64_t last = sequence.last_key(i);
            for (int64_t h = 0; h < options->heads; h++) {
                const int64_t g = h / (options->heads / options->kv_heads);
                double largest = -INFINITY;
                for (int64_t j = first; j <= last; j++) {
                    scores[j] = options->scale * dot(q, row, h, k, sequence.kv_begin + j, g, head_dim);
                    largest = std::max(largest, scores[j]);
                }
                double sum = 0;
                for (int64_t j = first; j <= last; j++) sum += std::exp(scores[j] - largest);
                const double log_sum = largest + std::log(sum);
                store(lse, row, h, log_sum);
                for (int64_t d = 0; d < head_dim; d++) {
                    double value = 0;
                    for (int64_t j = first; j <= last; j++) {
                        value += std::exp(scores[j] - log_sum) * load(v, sequence.kv_begin + j, g * head_dim + d);
                    }
                    store(out, row, h * head_dim + d, value);
                }
            }
        }
    }
    return NF4J_OK;
}

// p = exp(scale * q . k - lse), dp = dout . v, ds = p * (dp - delta) with delta = sum(p * dp) = dout . out over the
// row; dq = scale * sum(ds * k), dk = scale * sum(ds * q), dv = sum(p * dout).
int32_t attention_backward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                           const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out,
                           const nf4j_tensor *dout, const nf4j_tensor *dq, const nf4j_tensor *dk,
                           const nf4j_tensor *dv) {
    const int64_t head_dim = options->head_dim;
    const int64_t group = options->heads / options->kv_heads;
    double *sums = scratch(stream, 2 * head_dim);
    if (!sums) return NF4J_OUT_OF_MEMORY;
    double *v_sums = sums + head_dim;
    const auto probability = [&](int64_t row, int64_t h, int64_t key) {
        return std::exp(options->scale * dot(q, row, h, k, key, h / group, head_dim) - load(lse, row, h));
    };
    const auto score_gradient = [&](int64_t row, int64_t h, int64_t key, double p) {
        return p * (dot(dout, row, h, v, key, h / group, head_dim) - dot(dout, row, h, out, row, h, head_dim));
    };
    for (int64_t s = 0; s < options->sequences; s++) {
        const Sequence sequence(options, s);
        for (int64_t i = 0; i < sequence.queries; i++) {
            const int64_t row = sequence.q_begin + i;
            for (int64_t h = 0; h < options->heads; h++) {
                std::fill_n(sums, head_dim, 0.0);
                for (int64_t j = sequence.first_key(i); j <= sequence.last_key(i); j++) {
                    const int64_t key = sequence.kv_begin + j;
                    const double ds = score_gradient(row, h, key, probability(row, h, key));
                    for (int64_t d = 0; d < head_dim; d++) sums[d] += ds * load(k, key, h / group * head_dim + d);
                }
                for (int64_t d = 0; d < head_dim; d++) store(dq, row, h * head_dim + d, options->scale * sums[d]);
            }
        }
        for (int64_t j = 0; j < sequence.keys; j++) {
            const int64_t key = sequence.kv_begin + j;
            for (int64_t g = 0; g < options->kv_heads; g++) {
                std::fill_n(sums, 2 * head_dim, 0.0);
                for (int64_t i = 0; i < sequence.queries; i++) {
                    if (j < sequence.first_key(i) || j > sequence.last_key(i)) continue;
                    const int64_t row = sequence.q_begin + i;
                    for (int64_t h = g * group; h < (g + 1) * group; h++) {
                        const double p = probability(row, h, key);
                        const double ds = score_gradient(row, h, key, p);
                        for (int64_t d = 0; d < head_dim; d++) {
                            sums[d] += ds * load(q, row, h * head_dim + d);
                            v_sums[d] += p * load(dout, row, h * head_dim + d);
                        }
                    }
                }
                for (int64_t d = 0; d < head_dim; d++) {
                    store(dk, key, g * head_dim + d, options->scale * sums[d]);
                    store(dv, key, g * head_dim + d, v_sums[d]);
                }
            }
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
