// Causal attention with an online softmax: no score matrix, memory linear in length.
//
// A task takes the query rows of one key-value head in a block of positions (all the query heads that share the head, so that a
// block of keys is packed once for them) and walks the blocks of keys that they see; backward does this for dq, and for dk and dv
// the other way round. What a row gets depends neither on the rows beside it nor on the threads: key blocks begin at multiples of
// key_block from the sequence's first key, and sums over rows run in the order of the rows.
//
// Tensors in BF16 are multiplied as pairs where the processor can, with AMX in tiles: also the weights p and their gradients are rounded to BF16 there, as on
// tensor cores. All sums are F32.
#include "cpu/isa/attention_factors.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace attention {

constexpr float minus_infinity = -__builtin_inff();

// What a query row has seen of its keys: softmax and its sum over values without the whole row of scores, after Milakov and
// Gimelshein, "Online normalizer calculation for softmax" (2018).
struct OnlineRow {
    float *largest;  // scaled score so far
    float *total;    // [lanes], of exp(score - largest)
    float *sums;     // [width], of exp(score - largest) * value

    // Takes in a block of raw scores, which become exp(score - largest), 0 where the row does not see a key.
    void add(float *score, const Visible &visible, float scale, int64_t width) const {
        if (visible.begin == visible.end) return clear(score, key_block);
        if (scale <= 0) {  // the largest raw score would not be the largest
            for (int64_t j = 0; j < key_block; j += lanes) store(score + j, load(score + j) * broadcast(scale));
            scale = 1;
        }
        for (int64_t j = 0; j < visible.begin; j++) score[j] = minus_infinity;
        for (int64_t j = visible.end; j < key_block; j++) score[j] = minus_infinity;
        Vec top = load(score);
        for (int64_t j = lanes; j < key_block; j += lanes) top = max(top, load(score + j));
        const float block_top = reduce_max(top) * scale, old_top = *largest;
        if (block_top > old_top) {
            const Vec factor = exp(broadcast(old_top - block_top));
            store(total, load(total) * factor);
            for (int64_t j = 0; j < width; j += lanes) store(sums + j, load(sums + j) * factor);
            *largest = block_top;
        }
        const Vec factor = broadcast(scale), shift = broadcast(-*largest);
        Vec sum = load(total);
        for (int64_t j = 0; j < key_block; j += lanes) {
            const Vec p = exp(fma(load(score + j), factor, shift));
            store(score + j, p);
            sum = sum + p;
        }
        store(total, sum);
    }
};

template <typename T>
void forward(nf4j_stream *stream, const Shape &shape, const nf4j_tensor *q, const nf4j_tensor *k, const nf4j_tensor *v,
             const nf4j_tensor *lse, const nf4j_tensor *out) {
    const nf4j_attention_options *o = shape.options;
    const int64_t width = shape.width, words = words_of<T>(width), d = o->head_dim;
    ThreadPool &pool = pool_of(stream);
    pool.parallel_for(count_blocks(o, shape.positions, queries_of) * o->kv_heads, [&](int64_t task, int thread) {
        const int64_t kv_head = task % o->kv_heads;
        const auto [s, first, positions] = find_block(o, shape.positions, queries_of, task / o->kv_heads);
        const int64_t rows = positions * shape.group;

        Scratch scratch(pool.scratch(thread));
        float *queries = scratch.take(rows * words), *sums = scratch.take(rows * width),
              *scores = scratch.take(rows * key_block);
        float *keys = scratch.take(key_block * words), *keys_t = scratch.take(key_block * words);
        float *values = scratch.take(words_of<T>(key_block) * width);
        float *largest = scratch.take(rows), *total = scratch.take(rows * lanes);
        read_rows(queries_in<T>(q, shape, s.q + first, kv_head), shape, rows, queries);
        clear(sums, rows * width);
        clear(total, rows * lanes);
        for (int64_t row = 0; row < rows; row++) largest[row] = minus_infinity;

        const int64_t last = s.last(first + positions - 1);
        for (int64_t key = s.first(first, o->window) / key_block * key_block; key < last; key += key_block) {
            const int64_t count = s.keys - key < key_block ? s.keys - key : key_block;
            read_rows(keys_in<T>(k, shape, s.kv + key, kv_head), shape, count, keys);
            transpose_keys<T>(keys, shape, count, keys_t);
            multiply<T, false>(queries, words, 1, keys_t, key_block, scores, key_block, rows, key_block,
                               words_of<T>(d));
            for (int64_t position = 0, row = 0; position < positions; position++) {
                const Visible visible(shape, s, first + position, key);
                for (const int64_t end = row + shape.group; row < end; row++) {
                    const OnlineRow online = {largest + row, total + row * lanes, sums + row * width};
                    online.add(scores + row * key_block, visible, o->scale, width);
                }
            }
            read_columns(keys_in<T>(v, shape, s.kv + key, kv_head), shape, count, values);
            join_keys<T>(scores, rows);
            multiply<T, true>(scores, key_block, 1, values, width, sums, width, rows, width, words_of<T>(count));
        }
        HeadRows<T> to = queries_in<T>(out, shape, s.q + first, kv_head);
        HeadRows<float> lse_to(lse, s.q + first, kv_head * shape.group, shape.group, 1);
        for (int64_t row = 0; row < rows; row++, ++to, ++lse_to) {
            const float sum = reduce_add(load(total + row * lanes));
            for_vectors(d, [&, factor = broadcast(1.0f / sum)](int64_t j, int64_t n) {
                store(*to + j, load(sums + row * width + j) * factor, n);
            });
            **lse_to = largest[row] + __builtin_logf(sum);
        }
    });
}

}  // namespace attention

int32_t attention_forward(nf4j_stream *stream, const nf4j_attention_options *options, const nf4j_tensor *q,
                          const nf4j_tensor *k, const nf4j_tensor *v, const nf4j_tensor *lse, const nf4j_tensor *out) {
    const attention::Shape shape(options);
    if (const int32_t status = attention::check_scratch("attention_forward", shape)) return status;
    with_type(q->dtype,
              [&](auto *type) { attention::forward<Pointee<decltype(type)>>(stream, shape, q, k, v, lse, out); });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
