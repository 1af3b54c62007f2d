// The gradients of attention: p is computed again from lse, a task for each block of queries sums dq, one for each block of keys dk and
// dv. See attention.cpp.
#include "cpu/isa/attention_factors.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace attention {

// What backward needs of a block of queries against a block of keys.
template <typename T>
struct Backward {
    nf4j_stream *stream;
    const Shape &shape;
    const nf4j_tensor *q, *k, *v, *lse, *out, *dout;

    // dots[row] = sum(dout * out), the term that the softmax subtracts.
    void read_dots(int64_t kv_head, int64_t token, int64_t rows, float *dots) const {
        const int64_t d = shape.options->head_dim;
        HeadRows<T> a = queries_in<T>(dout, shape, token, kv_head), b = queries_in<T>(out, shape, token, kv_head);
        for (int64_t row = 0; row < rows; row++, ++a, ++b) {
            Vec sum = zero();
            for (int64_t j = 0; j < d; j += lanes) sum = fma(part(*a, j, d), part(*b, j, d), sum);
            dots[row] = reduce_add(sum);
        }
    }

    // From scores q * k^T and dp = dout * v^T, both [rows, key_block]: p = exp(scale * score - lse) in `scores`, p * (dp - dot) in `dp`; 0
    // where a row does not see a key.
    void probabilities(const Sequence &s, int64_t kv_head, int64_t first, int64_t rows, int64_t key, const float *dots,
                       float *scores, float *dp) const {
        const Vec scale = broadcast(shape.options->scale);
        HeadRows<float> lse_of(lse, s.q + first, kv_head * shape.group, shape.group, 1);
        for (int64_t position = first, row = 0; row < rows; position++) {
            const Visible visible(shape, s, position, key);
            for (const int64_t end = row + shape.group; row < end; row++, ++lse_of) {
                const Vec shift = broadcast(-**lse_of), dot = broadcast(dots[row]);
                float *p = scores + row * key_block, *ds = dp + row * key_block;
                for (int64_t j = 0; j < key_block; j += lanes) {
                    const Vec probability = exp(fma(load(p + j), scale, shift));
                    store(p + j, probability);
                    store(ds + j, probability * (load(ds + j) - dot));
                }
                clear(p, visible.begin);
                clear(ds, visible.begin);
                clear(p + visible.end, key_block - visible.end);
                clear(ds + visible.end, key_block - visible.end);
            }
        }
    }

    void run_dq(const nf4j_tensor *dq) const {
        const nf4j_attention_options *o = shape.options;
        const int64_t width = shape.width, words = words_of<T>(width), d = o->head_dim;
        ThreadPool &pool = pool_of(stream);
        pool.parallel_for(count_blocks(o, shape.positions, queries_of) * o->kv_heads, [&](int64_t task, int thread) {
            const int64_t kv_head = task % o->kv_heads;
            const auto [s, first, positions] = find_block(o, shape.positions, queries_of, task / o->kv_heads);
            const int64_t rows = positions * shape.group;

            Scratch scratch(pool.scratch(thread));
            float *queries = scratch.take(rows * words), *gradients = scratch.take(rows * words),
                  *sums = scratch.take(rows * width);
            float *scores = scratch.take(rows * key_block), *dp = scratch.take(rows * key_block),
                  *dots = scratch.take(rows);
            float *keys = scratch.take(key_block * words), *values = scratch.take(key_block * words),
                  *transposed = scratch.take(key_block * words);
            float *key_columns = scratch.take(words_of<T>(key_block) * width);
            read_rows(queries_in<T>(q, shape, s.q + first, kv_head), shape, rows, queries);
            read_rows(queries_in<T>(dout, shape, s.q + first, kv_head), shape, rows, gradients);
            read_dots(kv_head, s.q + first, rows, dots);
            clear(sums, rows * width);

            const int64_t last = s.last(first + positions - 1);
            for (int64_t key = s.first(first, o->window) / key_block * key_block; key < last; key += key_block) {
                const int64_t count = s.keys - key < key_block ? s.keys - key : key_block;
                const HeadRows<T> key_rows = keys_in<T>(k, shape, s.kv + key, kv_head);
                read_rows(key_rows, shape, count, keys);
                read_rows(keys_in<T>(v, shape, s.kv + key, kv_head), shape, count, values);
                transpose_keys<T>(keys, shape, count, transposed);
                multiply<T, false>(queries, words, 1, transposed, key_block, scores, key_block, rows, key_block,
                                   words_of<T>(d));
                transpose_keys<T>(values, shape, count, transposed);
                multiply<T, false>(gradients, words, 1, transposed, key_block, dp, key_block, rows, key_block,
                                   words_of<T>(d));
                probabilities(s, kv_head, first, rows, key, dots, scores, dp);
                join_keys<T>(dp, rows);
                multiply<T, true>(dp, key_block, 1, columns_of(key_rows, shape, count, keys, key_columns), width, sums,
                                  width, rows, width, words_of<T>(count));
            }
            HeadRows<T> to = queries_in<T>(dq, shape, s.q + first, kv_head);
            for (int64_t row = 0; row < rows; row++, ++to) {
                for_vectors(d, [&](int64_t j, int64_t n) {
                    store(*to + j, load(sums + row * width + j) * broadcast(o->scale), n);
                });
            }
        });
    }

    void run_dk_dv(const nf4j_tensor *dk, const nf4j_tensor *dv) const {
        const nf4j_attention_options *o = shape.options;
        const int64_t width = shape.width, words = words_of<T>(width), d = o->head_dim;
        ThreadPool &pool = pool_of(stream);
        pool.parallel_for(count_blocks(o, key_block, keys_of) * o->kv_heads, [&](int64_t task, int thread) {
            const int64_t kv_head = task % o->kv_heads;
            const auto [s, key, count] = find_block(o, key_block, keys_of, task / o->kv_heads);

            const int64_t joined = elements_of_word<T> * key_block;  // between the words of rows that are summed over
            Scratch scratch(pool.scratch(thread));
            float *queries = scratch.take(shape.rows * words), *gradients = scratch.take(shape.rows * words);
            float *columns = scratch.take(words_of<T>(shape.rows) * width);
            float *scores = scratch.take(shape.rows * key_block), *dp = scratch.take(shape.rows * key_block);
            float *dots = scratch.take(shape.rows), *as_rows = scratch.take(key_block * words);
            float *keys_t = scratch.take(key_block * words), *values_t = scratch.take(key_block * words);
            float *key_sums = scratch.take(key_block * width), *value_sums = scratch.take(key_block * width);
            read_rows(keys_in<T>(k, shape, s.kv + key, kv_head), shape, count, as_rows);
            transpose_keys<T>(as_rows, shape, count, keys_t);
            read_rows(keys_in<T>(v, shape, s.kv + key, kv_head), shape, count, as_rows);
            transpose_keys<T>(as_rows, shape, count, values_t);
            clear(key_sums, key_block * width);
            clear(value_sums, key_block * width);

            // Queries and keys are the same tokens here: the query at position i sees the keys up to i.
            for (int64_t first = key / shape.positions * shape.positions; first < s.queries; first += shape.positions) {
                if (s.first(first, o->window) >= key + count) break;
                const int64_t positions = s.queries - first < shape.positions ? s.queries - first : shape.positions;
                const int64_t rows = positions * shape.group;
                const HeadRows<T> query_rows = queries_in<T>(q, shape, s.q + first, kv_head),
                                  gradient_rows = queries_in<T>(dout, shape, s.q + first, kv_head);
                read_rows(query_rows, shape, rows, queries);
                read_rows(gradient_rows, shape, rows, gradients);
                read_dots(kv_head, s.q + first, rows, dots);
                multiply<T, false>(queries, words, 1, keys_t, key_block, scores, key_block, rows, key_block,
                                   words_of<T>(d));
                multiply<T, false>(gradients, words, 1, values_t, key_block, dp, key_block, rows, key_block,
                                   words_of<T>(d));
                probabilities(s, kv_head, first, rows, key, dots, scores, dp);
                join_rows<T>(scores, rows);
                join_rows<T>(dp, rows);
                multiply<T, true>(scores, 1, joined, columns_of(gradient_rows, shape, rows, gradients, columns), width,
                                  value_sums, width, count, width, words_of<T>(rows));
                multiply<T, true>(dp, 1, joined, columns_of(query_rows, shape, rows, queries, columns), width, key_sums,
                                  width, count, width, words_of<T>(rows));
            }
            for (int64_t row = 0; row < count; row++) {
                T *to_k = at<T>(dk, s.kv + key + row, kv_head * d), *to_v = at<T>(dv, s.kv + key + row, kv_head * d);
                for_vectors(d, [&](int64_t j, int64_t n) {
                    store(to_k + j, load(key_sums + row * width + j) * broadcast(o->scale), n);
                    store(to_v + j, load(value_sums + row * width + j), n);
                });
            }
        });
    }
};

}  // namespace attention

int32_t attention_backward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                           const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out,
                           const nf4j_tensor *dout, const nf4j_tensor *dq, const nf4j_tensor *dk,
                           const nf4j_tensor *dv) {
    const attention::Shape shape(options);
    if (const int32_t status = attention::check_scratch("attention_backward", shape)) return status;
    with_type(q->dtype, [&](auto *type) {
        const attention::Backward<Pointee<decltype(type)>> backward{stream, shape, q, k, v, lse, out, dout};
        backward.run_dq(dq);
        backward.run_dk_dv(dk, dv);
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
