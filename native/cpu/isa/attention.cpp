// Causal attention with an online softmax: no score matrix, memory linear in length.
//
// A task takes the query rows of one key-value head in a block of positions (all the query heads that share the head, so that a
// block of keys is packed once for them) and walks the blocks of keys that they see; backward does this for dq, and for dk and dv
// the other way round. What a row gets depends neither on the rows beside it nor on the threads: key blocks begin at multiples of
// key_block from the sequence's first key, and sums over rows run in the order of the rows.
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"
#include "cpu/isa/transpose.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

constexpr int64_t key_block = 64;
constexpr int64_t row_block = 96;               // query rows to a task, unless one position has more heads
constexpr int tile_rows = lanes == 16 ? 8 : 4;  // as many sums as registers hold, two vectors wide
constexpr float minus_infinity = -__builtin_inff();

// c[m, n] += a[m, k] * b[k, n], n a multiple of 2 * lanes, a(i, l) at a[i * ai + l * al]; one chain of FMAs for each element of c.
template <int rows>
void multiply_rows(const float *a, int64_t ai, int64_t al, const float *b, int64_t ldb, float *c, int64_t ldc,
                   int64_t n, int64_t k) {
    for (int64_t j = 0; j < n; j += 2 * lanes) {
        Vec sum[rows][2];
        for (int r = 0; r < rows; r++) {
            sum[r][0] = load(c + r * ldc + j);
            sum[r][1] = load(c + r * ldc + j + lanes);
        }
        for (int64_t l = 0; l < k; l++) {
            const Vec b0 = load(b + l * ldb + j), b1 = load(b + l * ldb + j + lanes);
            for (int r = 0; r < rows; r++) {
                const Vec value = broadcast(a[r * ai + l * al]);
                sum[r][0] = fma(value, b0, sum[r][0]);
                sum[r][1] = fma(value, b1, sum[r][1]);
            }
        }
        for (int r = 0; r < rows; r++) {
            store(c + r * ldc + j, sum[r][0]);
            store(c + r * ldc + j + lanes, sum[r][1]);
        }
    }
}

void multiply_add(const float *a, int64_t ai, int64_t al, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m,
                  int64_t n, int64_t k) {
    int64_t i = 0;
    for (; i + tile_rows <= m; i += tile_rows)
        multiply_rows<tile_rows>(a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, n, k);
    for (; i < m; i++) multiply_rows<1>(a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, n, k);
}

void clear(float *p, int64_t n) { std::memset(p, 0, static_cast<size_t>(n) * sizeof(float)); }

struct Shape {
    const nf4j_attention_options *options;
    int64_t group;      // query heads that share a key-value head
    int64_t positions;  // of a block of queries
    int64_t rows;       // positions * group
    int64_t width;      // head_dim rounded up to whole pairs of vectors

    explicit Shape(const nf4j_attention_options *o) : options(o) {
        group = o->heads / o->kv_heads;
        positions = group < row_block ? row_block / group : 1;
        rows = positions * group;
        width = (o->head_dim + 2 * lanes - 1) / (2 * lanes) * (2 * lanes);
    }
};

// What a task takes at most fits a thread's scratch memory: 3 matrices of rows (queries, gradients, sums) and 5 of keys, 2 of
// scores, 2 vectors, each rounded up to 16 floats.
int32_t check_scratch(const char *operation, const Shape &shape) {
    const int64_t floats =
        (3 * shape.rows + 5 * key_block) * shape.width + 2 * shape.rows * key_block + 2 * shape.rows + 12 * 16;
    if (floats * int64_t{sizeof(float)} <= ThreadPool::scratch_bytes) return NF4J_OK;
    return fail(NF4J_UNSUPPORTED,
                "%s: %lld heads for each key-value head and head_dim %d need more than a thread's %lld bytes",
                operation, static_cast<long long>(shape.group), shape.options->head_dim,
                static_cast<long long>(ThreadPool::scratch_bytes));
}

struct Sequence {
    int64_t q, queries, kv, keys;

    Sequence(const nf4j_attention_options *o, int64_t s) {
        q = o->q_offsets[s];
        queries = o->q_offsets[s + 1] - q;
        kv = o->kv_offsets ? o->kv_offsets[s] : q;
        keys = o->kv_lengths ? o->kv_lengths[s] : queries;
    }

    // The keys first ... last - 1 that the query at `position` sees.
    int64_t last(int64_t position) const { return keys - queries + position + 1; }
    int64_t first(int64_t position, int64_t window) const {
        const int64_t begin = last(position) - window;
        return window > 0 && begin > 0 ? begin : 0;
    }
};

template <class Length>
int64_t count_blocks(const nf4j_attention_options *o, int64_t size, const Length &length) {
    int64_t blocks = 0;
    for (int64_t s = 0; s < o->sequences; s++) blocks += (length(Sequence(o, s)) + size - 1) / size;
    return blocks;
}

// Positions first ... first + count - 1 of a sequence.
struct Block {
    Sequence s;
    int64_t first, count;
};

// The blocks of all sequences are numbered, `size` positions to each but the last of a sequence.
template <class Length>
Block find_block(const nf4j_attention_options *o, int64_t size, const Length &length, int64_t number) {
    for (int64_t i = 0;; i++) {
        const Sequence s(o, i);
        const int64_t first = number * size, left = length(s) - first;
        if (left > 0) return {s, first, left < size ? left : size};
        number -= (length(s) + size - 1) / size;
    }
}

int64_t queries_of(const Sequence &s) { return s.queries; }
int64_t keys_of(const Sequence &s) { return s.keys; }

// Query rows of a block, one after the other: for each position the heads of the group. out[row, width] = scale * x, padded with 0.
template <typename T>
void read_queries(const nf4j_tensor *x, const Shape &shape, int64_t kv_head, int64_t token, int64_t positions,
                  float scale, float *out) {
    const int64_t d = shape.options->head_dim;
    for (int64_t row = 0; row < positions * shape.group; row++) {
        const T *in = at<T>(x, token + row / shape.group, (kv_head * shape.group + row % shape.group) * d);
        float *to = out + row * shape.width;
        for_vectors(shape.width, [&](int64_t j, int64_t) {
            const int64_t n = d - j < lanes ? (d > j ? d - j : 0) : lanes;
            store(to + j, load(in + j, n) * broadcast(scale));
        });
    }
}

// Keys or values of a block: out[key_block, width], rows beyond count and padding 0.
template <typename T>
void read_keys(const nf4j_tensor *x, const Shape &shape, int64_t kv_head, int64_t token, int64_t count, float *out) {
    const int64_t d = shape.options->head_dim;
    for (int64_t row = 0; row < key_block; row++) {
        const T *in = at<T>(x, token + (row < count ? row : 0), kv_head * d);
        for_vectors(shape.width, [&](int64_t j, int64_t) {
            const int64_t n = row >= count || d <= j ? 0 : d - j < lanes ? d - j : lanes;
            store(out + row * shape.width + j, load(in + j, n));
        });
    }
}

// out[width, key_block] = in^T.
void transpose(const float *in, const Shape &shape, float *out) {
    for (int64_t j = 0; j < shape.width; j += lanes) {
        for (int64_t row = 0; row < key_block; row += lanes) {
            Vec square[lanes];
            for (int64_t i = 0; i < lanes; i++) square[i] = load(in + (row + i) * shape.width + j);
            transpose(square);
            for (int64_t i = 0; i < lanes; i++) store(out + (j + i) * key_block + row, square[i]);
        }
    }
}

// The columns begin ... end - 1 of a block of keys that begins at `key`, as a query row sees them.
struct Visible {
    int64_t begin, end;

    Visible(const Shape &shape, const Sequence &s, int64_t position, int64_t key) {
        begin = s.first(position, shape.options->window) - key;
        end = s.last(position) - key;
        if (begin < 0) begin = 0;
        if (begin > key_block) begin = key_block;
        if (end > key_block) end = key_block;
        if (end < begin) end = begin;
    }
};

// Slices of a thread's scratch memory.
class Scratch {
public:
    explicit Scratch(char *memory) : next_(reinterpret_cast<float *>(memory)) {}
    float *take(int64_t floats) {
        float *taken = next_;
        next_ += (floats + 15) / 16 * 16;
        return taken;
    }

private:
    float *next_;
};

template <typename T>
void forward(nf4j_stream *stream, const Shape &shape, const nf4j_tensor *q, const nf4j_tensor *k, const nf4j_tensor *v,
             const nf4j_tensor *lse, const nf4j_tensor *out) {
    const nf4j_attention_options *o = shape.options;
    const int64_t width = shape.width, d = o->head_dim;
    ThreadPool &pool = pool_of(stream);
    pool.parallel_for(count_blocks(o, shape.positions, queries_of) * o->kv_heads, [&](int64_t task, int thread) {
        const int64_t kv_head = task % o->kv_heads;
        const auto [s, first, positions] = find_block(o, shape.positions, queries_of, task / o->kv_heads);
        const int64_t rows = positions * shape.group;

        Scratch scratch(pool.scratch(thread));
        float *queries = scratch.take(rows * width), *sums = scratch.take(rows * width),
              *scores = scratch.take(rows * key_block);
        float *keys = scratch.take(key_block * width), *keys_t = scratch.take(key_block * width);
        float *largest = scratch.take(rows), *total = scratch.take(rows);
        read_queries<T>(q, shape, kv_head, s.q + first, positions, o->scale, queries);
        clear(sums, rows * width);
        clear(total, rows);
        for (int64_t row = 0; row < rows; row++) largest[row] = minus_infinity;

        const int64_t last = s.last(first + positions - 1);
        for (int64_t key = s.first(first, o->window) / key_block * key_block; key < last; key += key_block) {
            const int64_t count = s.keys - key < key_block ? s.keys - key : key_block;
            read_keys<T>(k, shape, kv_head, s.kv + key, count, keys);
            transpose(keys, shape, keys_t);
            clear(scores, rows * key_block);
            multiply_add(queries, width, 1, keys_t, key_block, scores, key_block, rows, key_block, d);
            for (int64_t row = 0; row < rows; row++) {
                float *score = scores + row * key_block;
                const Visible visible(shape, s, first + row / shape.group, key);
                if (visible.begin == visible.end) {
                    clear(score, key_block);
                    continue;
                }
                for (int64_t j = 0; j < visible.begin; j++) score[j] = minus_infinity;
                for (int64_t j = visible.end; j < key_block; j++) score[j] = minus_infinity;
                Vec top = load(score);
                for (int64_t j = lanes; j < key_block; j += lanes) top = max(top, load(score + j));
                const float block_top = reduce_max(top), old_top = largest[row];
                const float new_top = block_top > old_top ? block_top : old_top;
                Vec sum = zero();
                for (int64_t j = 0; j < key_block; j += lanes) {
                    const Vec p = exp(load(score + j) - broadcast(new_top));
                    store(score + j, p);
                    sum = sum + p;
                }
                if (new_top > old_top) {
                    float factor[lanes];
                    store(factor, exp(broadcast(old_top - new_top)));
                    total[row] *= factor[0];
                    for (int64_t j = 0; j < width; j += lanes) {
                        store(sums + row * width + j, load(sums + row * width + j) * broadcast(factor[0]));
                    }
                    largest[row] = new_top;
                }
                total[row] += reduce_add(sum);
            }
            read_keys<T>(v, shape, kv_head, s.kv + key, count, keys);
            multiply_add(scores, key_block, 1, keys, width, sums, width, rows, width, key_block);
        }
        for (int64_t row = 0; row < rows; row++) {
            const int64_t token = s.q + first + row / shape.group, head = kv_head * shape.group + row % shape.group;
            T *to = at<T>(out, token, head * d);
            const Vec factor = broadcast(1.0f / total[row]);
            for_vectors(d, [&](int64_t j, int64_t n) { store(to + j, load(sums + row * width + j) * factor, n); });
            *at<float>(lse, token, head) = largest[row] + __builtin_logf(total[row]);
        }
    });
}

// What backward needs of a block of queries against a block of keys.
template <typename T>
struct Backward {
    nf4j_stream *stream;
    const Shape &shape;
    const nf4j_tensor *q, *k, *v, *lse, *out, *dout;

    // dots[row] = sum(dout * out), the term that the softmax subtracts.
    void read_dots(int64_t kv_head, int64_t token, int64_t rows, float *dots) const {
        const int64_t d = shape.options->head_dim;
        for (int64_t row = 0; row < rows; row++) {
            const int64_t column = (kv_head * shape.group + row % shape.group) * d;
            const T *a = at<T>(dout, token + row / shape.group, column),
                    *b = at<T>(out, token + row / shape.group, column);
            Vec sum = zero();
            for_vectors(d, [&](int64_t j, int64_t n) { sum = fma(load(a + j, n), load(b + j, n), sum); });
            dots[row] = reduce_add(sum);
        }
    }

    // From scores and dp = dout * v^T, both [rows, key_block]: p = exp(score - lse) in `scores`, p * (dp - dot) in `dp`; 0 where a row
    // does not see a key.
    void probabilities(const Sequence &s, int64_t kv_head, int64_t first, int64_t rows, int64_t key, const float *dots,
                       float *scores, float *dp) const {
        for (int64_t row = 0; row < rows; row++) {
            const int64_t position = first + row / shape.group;
            const Vec shift = broadcast(*at<float>(lse, s.q + position, kv_head * shape.group + row % shape.group));
            const Visible visible(shape, s, position, key);
            float *p = scores + row * key_block, *ds = dp + row * key_block;
            for (int64_t j = 0; j < key_block; j += lanes) {
                const Vec probability = exp(load(p + j) - shift);
                store(p + j, probability);
                store(ds + j, probability * (load(ds + j) - broadcast(dots[row])));
            }
            clear(p, visible.begin);
            clear(ds, visible.begin);
            clear(p + visible.end, key_block - visible.end);
            clear(ds + visible.end, key_block - visible.end);
        }
    }

    void run_dq(const nf4j_tensor *dq) const {
        const nf4j_attention_options *o = shape.options;
        const int64_t width = shape.width, d = o->head_dim;
        ThreadPool &pool = pool_of(stream);
        pool.parallel_for(count_blocks(o, shape.positions, queries_of) * o->kv_heads, [&](int64_t task, int thread) {
            const int64_t kv_head = task % o->kv_heads;
            const auto [s, first, positions] = find_block(o, shape.positions, queries_of, task / o->kv_heads);
            const int64_t rows = positions * shape.group;

            Scratch scratch(pool.scratch(thread));
            float *queries = scratch.take(rows * width), *gradients = scratch.take(rows * width),
                  *sums = scratch.take(rows * width);
            float *scores = scratch.take(rows * key_block), *dp = scratch.take(rows * key_block),
                  *dots = scratch.take(rows);
            float *keys = scratch.take(key_block * width), *values = scratch.take(key_block * width);
            float *transposed = scratch.take(key_block * width);
            read_queries<T>(q, shape, kv_head, s.q + first, positions, o->scale, queries);
            read_queries<T>(dout, shape, kv_head, s.q + first, positions, 1, gradients);
            read_dots(kv_head, s.q + first, rows, dots);
            clear(sums, rows * width);

            const int64_t last = s.last(first + positions - 1);
            for (int64_t key = s.first(first, o->window) / key_block * key_block; key < last; key += key_block) {
                const int64_t count = s.keys - key < key_block ? s.keys - key : key_block;
                read_keys<T>(k, shape, kv_head, s.kv + key, count, keys);
                read_keys<T>(v, shape, kv_head, s.kv + key, count, values);
                clear(scores, rows * key_block);
                clear(dp, rows * key_block);
                transpose(keys, shape, transposed);
                multiply_add(queries, width, 1, transposed, key_block, scores, key_block, rows, key_block, d);
                transpose(values, shape, transposed);
                multiply_add(gradients, width, 1, transposed, key_block, dp, key_block, rows, key_block, d);
                probabilities(s, kv_head, first, rows, key, dots, scores, dp);
                multiply_add(dp, key_block, 1, keys, width, sums, width, rows, width, key_block);
            }
            for (int64_t row = 0; row < rows; row++) {
                T *to = at<T>(dq, s.q + first + row / shape.group, (kv_head * shape.group + row % shape.group) * d);
                for_vectors(d, [&](int64_t j, int64_t n) {
                    store(to + j, load(sums + row * width + j) * broadcast(o->scale), n);
                });
            }
        });
    }

    void run_dk_dv(const nf4j_tensor *dk, const nf4j_tensor *dv) const {
        const nf4j_attention_options *o = shape.options;
        const int64_t width = shape.width, d = o->head_dim;
        ThreadPool &pool = pool_of(stream);
        pool.parallel_for(count_blocks(o, key_block, keys_of) * o->kv_heads, [&](int64_t task, int thread) {
            const int64_t kv_head = task % o->kv_heads;
            const auto [s, key, count] = find_block(o, key_block, keys_of, task / o->kv_heads);

            Scratch scratch(pool.scratch(thread));
            float *queries = scratch.take(shape.rows * width), *gradients = scratch.take(shape.rows * width);
            float *scores = scratch.take(shape.rows * key_block), *dp = scratch.take(shape.rows * key_block);
            float *dots = scratch.take(shape.rows), *rows_in = scratch.take(key_block * width);
            float *keys_t = scratch.take(key_block * width), *values_t = scratch.take(key_block * width);
            float *key_sums = scratch.take(key_block * width), *value_sums = scratch.take(key_block * width);
            read_keys<T>(k, shape, kv_head, s.kv + key, count, rows_in);
            transpose(rows_in, shape, keys_t);
            read_keys<T>(v, shape, kv_head, s.kv + key, count, rows_in);
            transpose(rows_in, shape, values_t);
            clear(key_sums, key_block * width);
            clear(value_sums, key_block * width);

            // Queries and keys are the same tokens here: the query at position i sees the keys up to i.
            for (int64_t first = key / shape.positions * shape.positions; first < s.queries; first += shape.positions) {
                if (s.first(first, o->window) >= key + count) break;
                const int64_t positions = s.queries - first < shape.positions ? s.queries - first : shape.positions;
                const int64_t rows = positions * shape.group;
                read_queries<T>(q, shape, kv_head, s.q + first, positions, o->scale, queries);
                read_queries<T>(dout, shape, kv_head, s.q + first, positions, 1, gradients);
                read_dots(kv_head, s.q + first, rows, dots);
                clear(scores, rows * key_block);
                clear(dp, rows * key_block);
                multiply_add(queries, width, 1, keys_t, key_block, scores, key_block, rows, key_block, d);
                multiply_add(gradients, width, 1, values_t, key_block, dp, key_block, rows, key_block, d);
                probabilities(s, kv_head, first, rows, key, dots, scores, dp);
                multiply_add(scores, 1, key_block, gradients, width, value_sums, width, count, width, rows);
                multiply_add(dp, 1, key_block, queries, width, key_sums, width, count, width, rows);
            }
            for (int64_t row = 0; row < count; row++) {
                T *to_k = at<T>(dk, s.kv + key + row, kv_head * d), *to_v = at<T>(dv, s.kv + key + row, kv_head * d);
                for_vectors(d, [&](int64_t j, int64_t n) {
                    store(to_k + j, load(key_sums + row * width + j), n);
                    store(to_v + j, load(value_sums + row * width + j), n);
                });
            }
        });
    }
};

}  // namespace

int32_t attention_forward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                          const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out) {
    const Shape shape(options);
    if (const int32_t status = check_scratch("attention_forward", shape)) return status;
    with_type(q->dtype, [&](auto *type) { forward<Pointee<decltype(type)>>(stream, shape, q, k, v, lse, out); });
    return NF4J_OK;
}

int32_t attention_backward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                           const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out,
                           const nf4j_tensor *dout, const nf4j_tensor *dq, const nf4j_tensor *dk,
                           const nf4j_tensor *dv) {
    const Shape shape(options);
    if (const int32_t status = check_scratch("attention_backward", shape)) return status;
    with_type(q->dtype, [&](auto *type) {
        const Backward<Pointee<decltype(type)>> backward{stream, shape, q, k, v, lse, out, dout};
        backward.run_dq(dq);
        backward.run_dk_dv(dk, dv);
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
