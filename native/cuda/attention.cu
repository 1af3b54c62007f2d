#include "cuda/attention_backward.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"

namespace nf4j::cuda {

namespace {

constexpr int largest_head_dim = 256;

AttentionProblem problem_of(const nf4j_attention_options *o) {
    return {o->heads,     o->kv_heads,  o->head_dim,   o->window,    o->scale,
            o->sequences, o->q_offsets, o->kv_offsets, o->kv_lengths};
}

// Enough tiles of `rows` for any cut of m rows into sequences: the offsets are in device memory.
int64_t tiles_of(int64_t m, int64_t sequences, int rows) {
    return ceil_div(m, rows) + sequences;
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
        const int64_t blocks = tiles_of(q->rows, options->sequences, S::rows) * options->heads;
        return launch(stream, "attention_forward", blocks, S::threads, attention_forward_bytes<S>(),
                      attention_forward_kernel<S, T>, problem_of(options), matrix_of<T>(q), matrix_of<T>(k),
                      matrix_of<T>(v), matrix_of<float>(lse), matrix_of<T>(out));
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
        int32_t status = launch(stream, "attention_delta", ceil_div(deltas, delta_threads / warp_size), delta_threads,
                                0, attention_delta_kernel<T>, matrix_of<T>(dout), matrix_of<T>(out), q->rows,
                                options->heads, options->head_dim, delta);
        if (status != NF4J_OK) return status;
        const AttentionTensors<T> x = {matrix_of<T>(q),       matrix_of<T>(k),    matrix_of<T>(v),
                                       matrix_of<float>(lse), matrix_of<T>(dout), delta};
        const int64_t tiles = tiles_of(q->rows, options->sequences, S::rows);
        status = launch(stream, "attention_dq", tiles * options->heads, S::threads, attention_backward_bytes<S>(),
                        attention_dq_kernel<S, T>, problem_of(options), x, matrix_of<T>(dq));
        if (status != NF4J_OK) return status;
        return launch(stream, "attention_dkv", tiles * options->kv_heads, S::threads, attention_backward_bytes<S>(),
                      attention_dkv_kernel<S, T>, problem_of(options), x, matrix_of<T>(dk), matrix_of<T>(dv));
    });
}

}  // namespace nf4j::cuda
