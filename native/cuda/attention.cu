#include "cuda/attention_backward.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"

namespace nf4j::cuda {

namespace {

constexpr int largest_head_dim = 256;

// Calls body(problem, tiles) for as many sequences at a time as a launch takes, all cut into tiles of `rows`.
template <class Body>
int32_t for_each_launch(const nf4j_attention_options *o, int rows, const Body &body) {
    AttentionProblem p = {};
    p.heads = o->heads;
    p.kv_heads = o->kv_heads;
    p.head_dim = o->head_dim;
    p.window = o->window;
    p.scale = o->scale;
    for (int64_t s = 0; s < o->sequences; s++) {
        const int32_t begin = o->q_offsets[s], queries = o->q_offsets[s + 1] - begin;
        if (queries > 0) {
            const int i = p.sequences++;
            p.q_begin[i] = begin;
            p.queries[i] = queries;
            p.kv_begin[i] = o->kv_offsets ? o->kv_offsets[s] : begin;
            p.keys[i] = o->kv_lengths ? o->kv_lengths[s] : queries;
            p.first_tile[i + 1] = p.first_tile[i] + static_cast<int>(ceil_div(queries, rows));
        }
        if (p.sequences == AttentionProblem::capacity || (s + 1 == o->sequences && p.sequences > 0)) {
            const int32_t status = body(p, int64_t{p.first_tile[p.sequences]});
            if (status != NF4J_OK) return status;
            p.sequences = 0;
        }
    }
    return NF4J_OK;
}

// Calls body with the smallest shape and the type.
template <class Body>
int32_t with_shape(const nf4j_attention_options *options, int32_t dtype, const Body &body) {
    const int d = options->head_dim;
    if (d > largest_head_dim)
        return fail(NF4J_UNSUPPORTED, "attention: head_dim is %d, the kernels go up to %d", d, largest_head_dim);
    return with_type(dtype, [&](auto type) {
        if (d <= 64) return body(AttentionShape<64, 32, 32>{}, type);
        if (d <= 128) return body(AttentionShape<128, 32, 32>{}, type);
        return body(AttentionShape<256, 16, 16>{}, type);
    });
}

}  // namespace

int32_t attention_forward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                          const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out) {
    return with_shape(options, q->dtype, [&](auto shape, auto type) {
        using S = decltype(shape);
        using T = decltype(type);
        return for_each_launch(options, S::rows, [&](const AttentionProblem &problem, int64_t tiles) {
            return launch(stream, "attention_forward", tiles * problem.heads, S::threads, attention_forward_bytes<S>(),
                          attention_forward_kernel<S, T>, problem, matrix_of<T>(q), matrix_of<T>(k), matrix_of<T>(v),
                          matrix_of<float>(lse), matrix_of<T>(out));
        });
    });
}

int32_t attention_backward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                           const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out,
                           const nf4j_tensor *dout, const nf4j_tensor *dq, const nf4j_tensor *dk,
                           const nf4j_tensor *dv) {
    const int64_t deltas = q->rows * options->heads;
    auto *delta = static_cast<float *>(workspace(stream, "attention_backward", deltas * 4));
    if (!delta) return NF4J_OUT_OF_MEMORY;
    return with_shape(options, q->dtype, [&](auto shape, auto type) {
        using S = decltype(shape);
        using T = decltype(type);
        const int32_t status = launch(stream, "attention_delta", ceil_div(deltas, delta_threads / warp_size),
                                      delta_threads, 0, attention_delta_kernel<T>, matrix_of<T>(dout),
                                      matrix_of<T>(out), q->rows, options->heads, options->head_dim, delta);
        if (status != NF4J_OK) return status;
        const AttentionTensors<T> x = {matrix_of<T>(q),       matrix_of<T>(k),    matrix_of<T>(v),
                                       matrix_of<float>(lse), matrix_of<T>(dout), delta};
        return for_each_launch(options, S::rows, [&](const AttentionProblem &problem, int64_t tiles) {
            const int32_t done =
                launch(stream, "attention_dq", tiles * problem.heads, S::threads, attention_backward_bytes<S>(),
                       attention_dq_kernel<S, T>, problem, x, matrix_of<T>(dq));
            if (done != NF4J_OK) return done;
            return launch(stream, "attention_dkv", tiles * problem.kv_heads, S::threads, attention_backward_bytes<S>(),
                          attention_dkv_kernel<S, T>, problem, x, matrix_of<T>(dk), matrix_of<T>(dv));
        });
    });
}

}  // namespace nf4j::cuda
