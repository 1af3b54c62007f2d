#include "core/check.h"

using namespace nf4j;

namespace {

bool valid_options(const Check &check, const nf4j_attention_options *options) {
    if (!check.options("options", options) || !check.at_least("options.heads", options->heads, 1) ||
        !check.at_least("options.kv_heads", options->kv_heads, 1) ||
        !check.at_least("options.head_dim", options->head_dim, 1) || !check.finite("options.scale", options->scale) ||
        !check.at_least("options.window", options->window, 0) ||
        !check.at_least("options.sequences", options->sequences, 0) ||
        !check.not_null("options.q_offsets", options->q_offsets) ||
        !check.aligned("options.q_offsets", options->q_offsets, 4) ||
        !check.aligned("options.kv_offsets", options->kv_offsets, 4) ||
        !check.aligned("options.kv_lengths", options->kv_lengths, 4)) {
        return false;
    }
    return options->heads % options->kv_heads == 0 ||
           check.refuse("options.heads is %d, expected a multiple of kv_heads, %d", options->heads, options->kv_heads);
}

// The sequences cover the rows of q in order, and their keys are rows of k.
bool valid_sequences(const Check &check, const nf4j_attention_options *options, int64_t q_rows, int64_t kv_rows) {
    const int64_t count = options->sequences;
    if (options->q_offsets[0] != 0)
        return check.refuse("options.q_offsets begins with %d, expected 0", options->q_offsets[0]);
    for (int64_t s = 0; s < count; s++) {
        const auto number = static_cast<long long>(s);
        const int64_t begin = options->q_offsets[s];
        const int64_t queries = options->q_offsets[s + 1] - begin;
        if (queries < 0) {
            return check.refuse("options.q_offsets falls from %d to %d at %lld, expected ascending",
                                options->q_offsets[s], options->q_offsets[s + 1], number + 1);
        }
        const int64_t first = options->kv_offsets ? options->kv_offsets[s] : begin;
        const int64_t keys = options->kv_lengths ? options->kv_lengths[s] : queries;
        if (keys < queries) {
            return check.refuse("options.kv_lengths has %lld at %lld, expected at least the sequence's %lld queries",
                                static_cast<long long>(keys), number, static_cast<long long>(queries));
        }
        if (first < 0 || first + keys > kv_rows) {
            return check.refuse("sequence %lld has the keys %lld ... %lld, k has %lld rows", number,
                                static_cast<long long>(first), static_cast<long long>(first + keys - 1),
                                static_cast<long long>(kv_rows));
        }
    }
    return options->q_offsets[count] == q_rows ||
           check.refuse("options.q_offsets ends with %d, q has %lld rows", options->q_offsets[count],
                        static_cast<long long>(q_rows));
}

constexpr const char *meaning =
    "q and out are [m, heads * head_dim], k and v [mk, kv_heads * head_dim], lse [m, heads]; gradients as what they "
    "belong to";

bool valid_inputs(const Check &check, const nf4j_stream *stream, const nf4j_attention_options *options,
                  const nf4j_tensor *q, const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse,
                  const nf4j_tensor *out) {
    if (!check.stream(stream) || !valid_options(check, options)) return false;
    const Extent q_cols = {"heads * head_dim", "columns", int64_t{options->heads} * options->head_dim};
    const Extent kv_cols = {"kv_heads * head_dim", "columns", int64_t{options->kv_heads} * options->head_dim};
    return check.tensor("q", q, activations) && check.tensor("k", k, {q->dtype}) && check.tensor("v", v, {q->dtype}) &&
           check.tensor("lse", lse, {NF4J_F32}) && check.tensor("out", out, {q->dtype}) &&
           check.equal(cols_of("q", q), q_cols, meaning) && check.equal(cols_of("k", k), kv_cols, meaning) &&
           check.same_shape("v", v, "k", k) && check.same_shape("out", out, "q", q) &&
           check.equal(rows_of("lse", lse), rows_of("q", q), meaning) &&
           check.equal(cols_of("lse", lse), {"options.heads", "columns", options->heads}, meaning);
}

}  // namespace

int32_t nf4j_attention_forward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                               const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse,
                               const nf4j_tensor *out) {
    const Check check("attention_forward");
    const bool valid = valid_inputs(check, stream, options, q, k, v, lse, out) &&
                       valid_sequences(check, options, q->rows, k->rows) &&
                       check.apart({{"lse", lse}, {"out", out}}, {{"q", q}, {"k", k}, {"v", v}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (q->rows == 0) return NF4J_OK;
    return check.run(&Backend::attention_forward, stream, options, q, k, v, lse, out);
}

int32_t nf4j_attention_backward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                                const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse,
                                const nf4j_tensor *out, const nf4j_tensor *dout, const nf4j_tensor *dq,
                                const nf4j_tensor *dk, const nf4j_tensor *dv) {
    const Check check("attention_backward");
    if (!valid_inputs(check, stream, options, q, k, v, lse, out)) return NF4J_INVALID_ARGUMENT;
    if (options->kv_offsets || options->kv_lengths) {
        check.refuse(
            "options.kv_offsets and kv_lengths are given, expected null: gradients do not flow through a cache");
        return NF4J_INVALID_ARGUMENT;
    }
    const bool valid = check.equal(rows_of("k", k), rows_of("q", q), meaning) &&
                       valid_sequences(check, options, q->rows, k->rows) && check.tensor("dout", dout, {q->dtype}) &&
                       check.tensor("dq", dq, {q->dtype}) && check.tensor("dk", dk, {q->dtype}) &&
                       check.tensor("dv", dv, {q->dtype}) && check.same_shape("dout", dout, "q", q) &&
                       check.same_shape("dq", dq, "q", q) && check.same_shape("dk", dk, "k", k) &&
                       check.same_shape("dv", dv, "v", v) &&
                       check.apart({{"dq", dq}, {"dk", dk}, {"dv", dv}},
                                   {{"q", q}, {"k", k}, {"v", v}, {"lse", lse}, {"out", out}, {"dout", dout}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (q->rows == 0) return NF4J_OK;
    return check.run(&Backend::attention_backward, stream, options, q, k, v, lse, out, dout, dq, dk, dv);
}
