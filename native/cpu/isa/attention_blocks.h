// How attention is cut into tasks: blocks of queries and of keys, what a row sees, what a task's memory holds.
#pragma once

#include "cpu/device.h"
#include "cpu/isa/simd.h"

namespace nf4j::cpu::NF4J_ISA_NAME::attention {

constexpr int64_t key_block = 64;
constexpr int64_t row_block = 96;  // query rows to a task, unless one position has more heads

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

// What a task takes at most fits a thread's scratch memory: 3 matrices of rows (queries, gradients, and sums or columns) and 5 of keys, 2
// of scores, a vector and lanes for each row, each rounded up to 16 floats.
inline int32_t check_scratch(const char *operation, const Shape &shape) {
    const int64_t floats = (3 * shape.rows + 5 * key_block) * shape.width + 2 * shape.rows * key_block +
                           (1 + lanes) * shape.rows + 12 * 16;
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

inline int64_t queries_of(const Sequence &s) { return s.queries; }
inline int64_t keys_of(const Sequence &s) { return s.keys; }

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

}  // namespace nf4j::cpu::NF4J_ISA_NAME::attention
