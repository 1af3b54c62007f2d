// The small products of attention and their factors: rows of queries, gradients, keys and values, read out of tensors of T.
//
// A factor is a matrix of 32-bit words: an F32 each, or two BF16 that are neighbours along what the product sums over.
#pragma once

#include "cpu/isa/attention_blocks.h"
#include "cpu/isa/elementwise.h"
#include "cpu/isa/tiles.h"
#include "cpu/isa/transpose.h"

namespace nf4j::cpu::NF4J_ISA_NAME::attention {

constexpr int tile_rows = lanes == 16 ? 8 : 4;  // as many sums as registers hold, two vectors wide

template <typename T>
constexpr int64_t elements_of_word = sizeof(T) == sizeof(bf16) && has_bf16_pairs ? 2 : 1;

template <typename T>
constexpr int64_t words_of(int64_t elements) {
    return (elements + elements_of_word<T> - 1) / elements_of_word<T>;
}

// c[m, n] = a[m, k] * b[k, n], or c += with `add`. n is a multiple of 2 * lanes, k counts words, a(i, l) is at a[i * ai + l * al]. One
// chain of sums for each element of c.
template <typename T, bool add, int rows>
void multiply_rows(const float *a, int64_t ai, int64_t al, const float *b, int64_t ldb, float *c, int64_t ldc,
                   int64_t n, int64_t k) {
    const auto add_product = [](Vec x, Vec y, Vec sum) {
        return elements_of_word<T> == 2 ? dot_pairs(x, y, sum) : fma(x, y, sum);
    };
    for (int64_t j = 0; j < n; j += 2 * lanes) {
        Vec sum[rows][2];
        for (int r = 0; r < rows; r++) {
            sum[r][0] = add ? load(c + r * ldc + j) : zero();
            sum[r][1] = add ? load(c + r * ldc + j + lanes) : zero();
        }
        for (int64_t l = 0; l < k; l++) {
            const Vec b0 = load(b + l * ldb + j), b1 = load(b + l * ldb + j + lanes);
            for (int r = 0; r < rows; r++) {
                const Vec value = broadcast(a[r * ai + l * al]);
                sum[r][0] = add_product(value, b0, sum[r][0]);
                sum[r][1] = add_product(value, b1, sum[r][1]);
            }
        }
        for (int r = 0; r < rows; r++) {
            store(c + r * ldc + j, sum[r][0]);
            store(c + r * ldc + j + lanes, sum[r][1]);
        }
    }
}

template <typename T, bool add>
void multiply(const float *a, int64_t ai, int64_t al, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t m,
              int64_t n, int64_t k) {
    if constexpr (has_tiles && elements_of_word<T> == 2) {
        return multiply_in_place(a, al == 1 ? ai : al, al != 1, b, ldb, c, ldc, m, n, k, add);
    }
    int64_t i = 0;
    for (; i + tile_rows <= m; i += tile_rows)
        multiply_rows<T, add, tile_rows>(a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, n, k);
    for (; i + 2 <= m; i += 2) multiply_rows<T, add, 2>(a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, n, k);
    for (; i < m; i++) multiply_rows<T, add, 1>(a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, n, k);
}

inline void clear(float *p, int64_t n) { std::memset(p, 0, static_cast<size_t>(n) * sizeof(float)); }

// A walk over rows of head_dim elements: for each token the rows of some neighbouring heads.
template <typename T>
class HeadRows {
public:
    HeadRows(const nf4j_tensor *x, int64_t token, int64_t head, int64_t heads, int64_t d)
        : row_(at<T>(x, token, head * d)), ld_(x->ld), heads_(heads), d_(d) {}

    T *operator*() const { return row_; }
    HeadRows &operator++() {
        row_ += d_;
        if (++head_ == heads_) {
            row_ += ld_ - heads_ * d_;
            head_ = 0;
        }
        return *this;
    }

private:
    T *row_;
    int64_t ld_, heads_, d_, head_ = 0;
};

// Queries, and what is laid out like them, of the heads that share a key-value head.
template <typename T>
HeadRows<T> queries_in(const nf4j_tensor *x, const Shape &shape, int64_t token, int64_t kv_head) {
    return {x, token, kv_head * shape.group, shape.group, shape.options->head_dim};
}

// Keys or values.
template <typename T>
HeadRows<T> keys_in(const nf4j_tensor *x, const Shape &shape, int64_t token, int64_t kv_head) {
    return {x, token, kv_head, 1, shape.options->head_dim};
}

// Elements j ... of a row of d as F32, 0 beyond its end.
template <typename T>
Vec part(const T *row, int64_t j, int64_t d) {
    return j + lanes <= d ? load(row + j) : load(row + j, j < d ? d - j : 0);
}

// `count` rows as a factor of sums over columns: out[count, words of width].
template <typename T>
void read_rows(HeadRows<T> rows, const Shape &shape, int64_t count, float *out) {
    const int64_t d = shape.options->head_dim;
    for (; count > 0; count--, ++rows) {
        for (int64_t j = 0; j < shape.width; j += elements_of_word<T> * lanes, out += lanes) {
            if constexpr (elements_of_word<T> == 2) {
                const bool whole = j + 2 * lanes <= d;  // pairs already
                store(out, whole ? load(reinterpret_cast<const float *>(*rows + j))
                                 : neighbours(part(*rows, j, d), part(*rows, j + lanes, d)));
            } else {
                store(out, part(*rows, j, d));
            }
        }
    }
}

// As a factor of sums over rows: out[words of count, width].
template <typename T>
void read_columns(HeadRows<T> rows, const Shape &shape, int64_t count, float *out) {
    const int64_t d = shape.options->head_dim;
    for (; count > 0; count -= elements_of_word<T>, ++rows) {
        const T *row = *rows;
        if (elements_of_word<T> == 2 && count > 1) ++rows;
        for (int64_t j = 0; j < shape.width; j += lanes, out += lanes) {
            const Vec first = part(row, j, d);
            store(out, elements_of_word<T> == 1 ? first : pair_up(first, count > 1 ? part(*rows, j, d) : zero()));
        }
    }
}

// The same where `as_rows` has what read_rows made of them, which for F32 is the same.
template <typename T>
const float *columns_of(HeadRows<T> rows, const Shape &shape, int64_t count, const float *as_rows, float *out) {
    if (elements_of_word<T> == 1) return as_rows;
    read_columns(rows, shape, count, out);
    return out;
}

// Keys or values that were read as rows, as the right factor of scores: out[words of width, key_block], garbage beyond `count` keys.
template <typename T>
void transpose_keys(const float *rows, const Shape &shape, int64_t count, float *out) {
    const int64_t words = words_of<T>(shape.width);
    for (int64_t j = 0; j < words; j += lanes) {
        for (int64_t row = 0; row < count; row += lanes) {
            Vec square[lanes];
            for (int64_t i = 0; i < lanes; i++) square[i] = load(rows + (row + i) * words + j);
            transpose(square);
            for (int64_t i = 0; i < lanes; i++) store(out + (j + i) * key_block + row, square[i]);
        }
    }
}

// What stands in [rows, key_block] becomes the left factor of sums over keys: the words of row i from x[i * key_block] on.
template <typename T>
void join_keys(float *x, int64_t rows) {
    if (elements_of_word<T> == 1) return;
    for (int64_t row = 0; row < rows; row++, x += key_block) {
        for (int64_t j = 0; j < key_block; j += 2 * lanes)
            store(x + j / 2, neighbours(load(x + j), load(x + j + lanes)));
    }
}

// The left factor of sums over rows: the words of pair l of rows from x[2 * l * key_block] on.
template <typename T>
void join_rows(float *x, int64_t rows) {
    if (elements_of_word<T> == 1) return;
    for (int64_t row = 0; row < rows; row += 2, x += 2 * key_block) {
        for (int64_t j = 0; j < key_block; j += lanes) {
            store(x + j, pair_up(load(x + j), row + 1 < rows ? load(x + key_block + j) : zero()));
        }
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME::attention
