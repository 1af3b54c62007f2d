#include "attention_model.h"

#include <algorithm>

namespace conformance {

std::vector<Sequence> sequences_of(const Attention &c) {
    std::vector<Sequence> list;
    int64_t q = 0, kv = 0;
    for (size_t s = 0; s < c.queries.size(); s++) {
        const bool cache = !c.cached.empty();
        const int64_t keys = c.queries[s] + (cache ? c.cached[s] : 0);
        if (cache) kv += 3;  // rows of nobody
        list.push_back({q, c.queries[s], kv, keys});
        q += c.queries[s];
        kv += keys;
    }
    return list;
}

int64_t tokens_of(const Attention &c) {
    int64_t m = 0;
    for (int64_t n : c.queries) m += n;
    return m;
}

namespace {

// The keys that query i of a sequence sees.
struct Visible {
    int64_t first, last;

    Visible(const Attention &c, const Sequence &s, int64_t i) {
        last = s.keys - s.queries + i;
        first = c.window > 0 ? std::max<int64_t>(0, last - c.window + 1) : 0;
        if (last > first) last -= c.missed;
    }
};

int64_t kv_head_of(const Attention &c, int64_t head) {
    return c.interleaved ? head % c.kv_heads : head / (c.heads / c.kv_heads);
}

// What of a weight or its gradient goes into the products that sum rows. With BF16 it may be rounded to that type, as
// tensor cores take it: another rounding of each factor, of the unit of its type. Sums of weights take all bits.
Real factor(const Attention &c, Real x) { return c.dtype == NF4J_BF16 ? rounding(x.value, x.error, bf16_unit) : x; }

Real dot(Problem &p, int a, int64_t a_row, int64_t a_head, int b, int64_t b_row, int64_t b_head, int64_t head_dim,
         Real scale = 1) {
    Sum sum;
    for (int64_t d = 0; d < head_dim; d++) {
        sum.add(scale * Real(p[a].at(a_row, a_head * head_dim + d)) * p[b].at(b_row, b_head * head_dim + d));
    }
    return sum;
}

}  // namespace

void model_attention(const Attention &c, const AttentionInputs &in, int lse, int out, Problem &p) {
    for (const Sequence &s : sequences_of(c)) {
        for (int64_t i = 0; i < s.queries; i++) {
            const Visible keys(c, s, i);
            for (int64_t h = 0; h < c.heads; h++) {
                const int64_t g = kv_head_of(c, h);
                std::vector<Real> weights;
                double largest = -INFINITY, smallest = INFINITY;
                for (int64_t j = keys.first; j <= keys.last; j++) {
                    weights.push_back(dot(p, in.q, s.q + i, h, in.k, s.kv + j, g, c.head_dim, Real(c.scale)));
                    largest = std::max(largest, weights.back().value);
                    smallest = std::min(smallest, weights.back().value);
                }
                // An online softmax scales what it has down whenever it meets a larger score, at most once for each
                // key: by exp of differences that add up to the range of the scores.
                const auto count = static_cast<double>(weights.size());
                const double rescaling = count * (function_error + 2 * f32_unit) + f32_unit * (largest - smallest);
                Sum total;
                for (Real &w : weights) {
                    w = exp(w - Real(largest));
                    w.error += w.value * rescaling;
                    total.add(w);
                }
                p.expect(lse, s.q + i, h, Real(largest) + log(total));
                for (int64_t d = 0; d < c.head_dim; d++) {
                    Sum sum;
                    for (int64_t j = keys.first; j <= keys.last; j++) {
                        const Real v = p[in.v].at(s.kv + j, g * c.head_dim + d);
                        sum.add(factor(c, weights[static_cast<size_t>(j - keys.first)]) * v);
                    }
                    p.expect(out, s.q + i, h * c.head_dim + d, sum * (Real(1) / total));
                }
            }
        }
    }
}

// p = exp(score - lse), ds = p * (dout . v - dout . out): dq = scale * sum(ds * k), dk = scale * sum(ds * q),
// dv = sum(p * dout).
void model_attention_backward(const Attention &c, const AttentionInputs &in, int lse, int out, int dout, int dq, int dk,
                              int dv, Problem &p) {
    const auto width = static_cast<size_t>(c.kv_heads * c.head_dim);
    std::vector<Sum> dk_sums(static_cast<size_t>(tokens_of(c)) * width), dv_sums(dk_sums.size());
    for (const Sequence &s : sequences_of(c)) {
        for (int64_t i = 0; i < s.queries; i++) {
            const int64_t row = s.q + i;
            const Visible keys(c, s, i);
            for (int64_t h = 0; h < c.heads; h++) {
                const int64_t g = kv_head_of(c, h);
                const Real delta = dot(p, dout, row, h, out, row, h, c.head_dim);
                std::vector<Sum> dq_sums(static_cast<size_t>(c.head_dim));
                for (int64_t j = keys.first; j <= keys.last; j++) {
                    const Real score = dot(p, in.q, row, h, in.k, s.kv + j, g, c.head_dim, Real(c.scale));
                    const Real weight = exp(score - Real(p[lse].at(row, h)));
                    const Real ds = weight * (dot(p, dout, row, h, in.v, s.kv + j, g, c.head_dim) - delta);
                    for (int64_t d = 0; d < c.head_dim; d++) {
                        const int64_t from = h * c.head_dim + d, to = g * c.head_dim + d;
                        const size_t sum = static_cast<size_t>(s.kv + j) * width + static_cast<size_t>(to);
                        dq_sums[static_cast<size_t>(d)].add(factor(c, ds) * Real(p[in.k].at(s.kv + j, to)));
                        dk_sums[sum].add(factor(c, ds) * Real(p[in.q].at(row, from)) * Real(c.scale));
                        dv_sums[sum].add(factor(c, weight) * Real(p[dout].at(row, from)));
                    }
                }
                for (int64_t d = 0; d < c.head_dim; d++) {
                    p.expect(dq, row, h * c.head_dim + d, dq_sums[static_cast<size_t>(d)] * Real(c.scale));
                }
            }
        }
    }
    for (int64_t j = 0; j < tokens_of(c); j++) {
        for (int64_t d = 0; d < static_cast<int64_t>(width); d++) {
            p.expect(dk, j, d, dk_sums[static_cast<size_t>(j) * width + static_cast<size_t>(d)]);
            p.expect(dv, j, d, dv_sums[static_cast<size_t>(j) * width + static_cast<size_t>(d)]);
        }
    }
}

}  // namespace conformance
