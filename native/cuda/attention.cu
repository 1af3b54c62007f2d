#include "cuda/attention_delta.cuh"
#include "cuda/attention_tiles.cuh"
#include "cuda/device.h"
#include "cuda/explain.h"
#include "cuda/families.h"
#include "cuda/launch.h"

namespace nf4j::cuda {

namespace {

constexpr int most_rows = INT32_MAX - 1024;  // of a sequence: those of the last tile have numbers, too

int32_t refuse_head_dim(int64_t head_dim) {
    return fail(NF4J_UNSUPPORTED, "attention: head_dim is %lld, the kernels go up to %d",
                static_cast<long long>(head_dim), largest_head_dim);
}

int32_t check_head_dim(const nf4j_attention_options *o) {
    return o->head_dim <= largest_head_dim ? NF4J_OK : refuse_head_dim(o->head_dim);
}

// Calls body(problem, tiles) for as many sequences at a time as a launch takes, each cut into tiles of `rows` rows, of
// which a query, or its key, has `rows_of_query`.
template <class Body>
int32_t for_each_launch(const nf4j_attention_options *o, int rows, int rows_of_query, const Body &body) {
    AttentionProblem p = {};
    p.heads = o->heads;
    p.kv_heads = o->kv_heads;
    p.group = o->heads / o->kv_heads;
    p.head_dim = o->head_dim;
    p.window = o->window;
    p.scale = o->scale;
    for (int64_t s = 0; s < o->sequences; s++) {
        const int32_t begin = o->q_offsets[s], queries = o->q_offsets[s + 1] - begin;
        if (queries > 0) {
            const int i = p.sequences++;
            const int64_t sequence_rows = int64_t{queries} * rows_of_query;
            p.q_begin[i] = begin;
            p.queries[i] = queries;
            p.kv_begin[i] = o->kv_offsets ? o->kv_offsets[s] : begin;
            p.keys[i] = o->kv_lengths ? o->kv_lengths[s] : queries;
            if (sequence_rows > most_rows || p.keys[i] > most_rows) {
                return fail(NF4J_UNSUPPORTED,
                            "attention: sequence %lld has more than %d rows of queries, heads or keys",
                            static_cast<long long>(s), most_rows);
            }
            p.first_tile[i + 1] = p.first_tile[i] + static_cast<int>(ceil_div(sequence_rows, rows));
        }
        if (p.sequences == AttentionProblem::capacity || (s + 1 == o->sequences && p.sequences > 0)) {
            const int32_t status = body(p, int64_t{p.first_tile[p.sequences]});
            if (status != NF4J_OK) return status;
            p.sequences = 0;
        }
    }
    return NF4J_OK;
}

// Big tiles where they keep every multiprocessor busy, else small ones. What a row gets does not depend on it.
template <class Big>
bool takes_big_tiles(int64_t rows, int64_t kv_heads, const Traits &device) {
    return rows / Big::rows * kv_heads >= device.multiprocessors;
}

template <class Big, class Small, class Body>
int32_t for_each_bf16_launch(nf4j_stream *stream, const nf4j_attention_options *o, int rows_of_query,
                             const Body &body) {
    const int64_t rows = int64_t{o->q_offsets[o->sequences]} * rows_of_query;
    const auto launches = [&](auto shape) {
        return for_each_launch(o, decltype(shape)::rows, rows_of_query, [&](const AttentionProblem &p, int64_t tiles) {
            return body(shape, p, tiles * p.kv_heads);
        });
    };
    return takes_big_tiles<Big>(rows, o->kv_heads, traits_of(stream)) ? launches(Big{}) : launches(Small{});
}

// Whether every head of every row begins at a multiple of 16 bytes.
bool is_aligned(const nf4j_tensor *x, int head_dim) {
    const int64_t size = x->dtype == NF4J_F32 ? 4 : 2;
    return reinterpret_cast<uintptr_t>(x->data) % 16 == 0 && x->ld * size % 16 == 0 && head_dim * size % 16 == 0;
}

HeadMatrix heads_of(const nf4j_tensor *x, int head_dim) {
    return {static_cast<bf16 *>(x->data), x->ld, head_dim, is_aligned(x, head_dim)};
}

}  // namespace

int32_t attention_forward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                          const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out) {
    const int32_t status = check_head_dim(options);
    if (status != NF4J_OK) return status;
    const int d = options->head_dim;
    if (takes_tensor_cores(d, q->dtype)) {
        return with_bf16_tiles(d, [&](auto tiles) {
            using Tiles = decltype(tiles);
            using Big = typename Tiles::BigForward;
            using Small = typename Tiles::SmallForward;
            return for_each_bf16_launch<Big, Small>(
                stream, options, options->heads / options->kv_heads,
                [&](auto shape, const AttentionProblem &problem, int64_t blocks) {
                    using S = decltype(shape);
                    return launch(stream, "attention_forward", blocks, S::threads, S::shared_bytes,
                                  attention_bf16_forward_kernel<S>, problem, heads_of(q, d), heads_of(k, d),
                                  heads_of(v, d), matrix_of<float>(lse), heads_of(out, d));
                });
        });
    }
    return with_f32_shape(d, q->dtype, [&](auto shape, auto type) {
        using S = decltype(shape);
        using T = decltype(type);
        return for_each_launch(options, S::rows, 1, [&](const AttentionProblem &problem, int64_t tiles) {
            return launch(stream, "attention_forward", tiles * problem.heads, S::threads,
                          attention_f32_forward_bytes<S>(), attention_f32_forward_kernel<S, T>, problem,
                          matrix_of<T>(q), matrix_of<T>(k), matrix_of<T>(v), matrix_of<float>(lse), matrix_of<T>(out));
        });
    });
}

int32_t attention_backward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                           const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out,
                           const nf4j_tensor *dout, const nf4j_tensor *dq, const nf4j_tensor *dk,
                           const nf4j_tensor *dv) {
    int32_t status = check_head_dim(options);
    if (status != NF4J_OK) return status;
    const int d = options->head_dim;
    const int64_t deltas = q->rows * options->heads;
    auto *delta = static_cast<float *>(workspace(stream, "attention_backward", deltas * 4));
    if (!delta) return NF4J_OUT_OF_MEMORY;
    status = with_type(q->dtype, [&](auto type) {
        using T = decltype(type);
        return launch(stream, "attention_delta", ceil_div(deltas, delta_threads / delta_lanes), delta_threads, 0,
                      attention_delta_kernel<T>, matrix_of<T>(dout), matrix_of<T>(out), q->rows, options->heads, d,
                      is_aligned(dout, d) && is_aligned(out, d), delta);
    });
    if (status != NF4J_OK) return status;
    if (takes_tensor_cores(d, q->dtype)) {
        const AttentionGradients x = {heads_of(q, d),        heads_of(k, d),    heads_of(v, d),
                                      matrix_of<float>(lse), heads_of(dout, d), delta};
        return with_bf16_tiles(d, [&](auto tiles) {
            using Tiles = decltype(tiles);
            const int32_t done = for_each_bf16_launch<typename Tiles::BigDq, typename Tiles::SmallDq>(
                stream, options, options->heads / options->kv_heads,
                [&](auto shape, const AttentionProblem &problem, int64_t blocks) {
                    using S = decltype(shape);
                    return launch(stream, "attention_dq", blocks, S::threads, S::tile_bytes,
                                  attention_bf16_dq_kernel<S>, problem, x, heads_of(dq, d));
                });
            if (done != NF4J_OK) return done;
            return for_each_bf16_launch<typename Tiles::BigDkv, typename Tiles::SmallDkv>(
                stream, options, 1, [&](auto shape, const AttentionProblem &problem, int64_t blocks) {
                    using S = decltype(shape);
                    return launch(stream, "attention_dkv", blocks, S::threads, attention_bf16_dkv_bytes<S>(),
                                  attention_bf16_dkv_kernel<S>, problem, x, heads_of(dk, d), heads_of(dv, d));
                });
        });
    }
    return with_f32_shape(d, q->dtype, [&](auto shape, auto type) {
        using S = decltype(shape);
        using T = decltype(type);
        const F32AttentionTensors<T> x = {matrix_of<T>(q),       matrix_of<T>(k),    matrix_of<T>(v),
                                          matrix_of<float>(lse), matrix_of<T>(dout), delta};
        return for_each_launch(options, S::rows, 1, [&](const AttentionProblem &problem, int64_t tiles) {
            const int32_t done =
                launch(stream, "attention_dq", tiles * problem.heads, S::threads, attention_f32_backward_bytes<S>(),
                       attention_f32_dq_kernel<S, T>, problem, x, matrix_of<T>(dq));
            if (done != NF4J_OK) return done;
            return launch(stream, "attention_dkv", tiles * problem.kv_heads, S::threads,
                          attention_f32_backward_bytes<S>(), attention_f32_dkv_kernel<S, T>, problem, x,
                          matrix_of<T>(dk), matrix_of<T>(dv));
        });
    });
}

int32_t explain_attention(int64_t m, int64_t heads, int64_t head_dim, int32_t dtype, const Traits &device, Text &text) {
    if (head_dim > largest_head_dim) return refuse_head_dim(head_dim);
    const auto d = static_cast<int>(head_dim);
    const auto delta_bytes = static_cast<long long>(m * heads * 4);
    if (takes_tensor_cores(d, dtype)) {
        with_bf16_tiles(d, [&](auto tiles) {
            using Tiles = decltype(tiles);
            const auto describe = [&](auto forward, auto dq, auto dkv, const char *why) {
                text.add(
                    "mma_bf16, tiles of %dx%d (queries times heads, keys), dq %dx%d, dk and dv %dx%d (keys, "
                    "queries), %d stages, %lld blocks forward, workspace of %lld bytes backward: %s",
                    forward.rows, forward.cols, dq.rows, dq.cols, dkv.rows, dkv.cols, forward.stages,
                    static_cast<long long>(ceil_div(m, forward.rows) * heads), delta_bytes, why);
            };
            using Big = typename Tiles::BigForward;
            if (takes_big_tiles<Big>(m, heads, device))
                describe(Big{}, typename Tiles::BigDq{}, typename Tiles::BigDkv{},
                         "big tiles keep every multiprocessor busy");
            else
                describe(typename Tiles::SmallForward{}, typename Tiles::SmallDq{}, typename Tiles::SmallDkv{},
                         "big tiles would leave multiprocessors idle");
            return NF4J_OK;
        });
    } else {
        with_f32_shape(d, dtype, [&](auto shape, auto) {
            text.add(
                "ffma_f32, tiles of %dx%d (queries, keys), 1 stage, %lld blocks forward, workspace of %lld bytes "
                "backward: %s",
                shape.rows, shape.cols, static_cast<long long>(ceil_div(m, shape.rows) * heads), delta_bytes,
                dtype == NF4J_F32 ? "F32 keeps its bits on FFMA alone" : "the head is wider than 128");
            return NF4J_OK;
        });
    }
    const bool bf16 = dtype == NF4J_BF16;
    const double elements = static_cast<double>(m) * static_cast<double>(heads) * static_cast<double>(head_dim);
    // Each product costs two operations for each column of the head and each of the m (m + 1) / 2 pairs.
    const double product = elements * static_cast<double>(m + 1), bytes = 4 * elements * (bf16 ? 2 : 4);
    text.add("; backward it takes %.3g GFLOP; forward it moves %.3g MB and takes %.3g GFLOP", 5 * product / 1e9,
             bytes / 1e6, 2 * product / 1e9);
    text.add_floor(device, bytes, 2 * product, bf16);
    return NF4J_OK;
}

}  // namespace nf4j::cuda
