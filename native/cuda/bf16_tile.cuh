// Tiles of BF16 elements in shared memory, and F32 numbers as sums of BF16 ones.
#pragma once

#include "cuda/operand.cuh"

namespace nf4j::cuda {

enum class Load { rows, columns, nf4_rows, nf4_columns, elements };

__host__ __device__ constexpr bool is_nf4(Load load) { return load == Load::nf4_rows || load == Load::nf4_columns; }

__host__ __device__ constexpr bool is_by_columns(Load load) {
    return load == Load::columns || load == Load::nf4_columns;
}

// Where element (row, col) of a tile with rows of `pitch` elements stands.
template <int Pitch>
__device__ inline int swizzled(int row, int col) {
    return row * Pitch + ((col / 8 ^ row % 8) * 8) + col % 8;
}

// How many products of BF16 parts make one of factors with these numbers of parts.
__host__ __device__ constexpr int part_products(int left, int right) { return left * right == 9 ? 6 : left * right; }

// A product of factors that count with all bits of F32 is a sum of products of their BF16 parts: k runs through `count`
// of them, `stride` apart. Products below 2^-24 of the largest are left out.
struct Parts {
    int64_t k;
    int64_t stride;
    int count;
    uint32_t left;  // digit i: which part of the left factor product i takes
    uint32_t right;

    // packed: strides of 4, for factors that are loaded by elements; else of whole steps.
    __host__ __device__ Parts(int left_parts, int right_parts, int64_t k_, bool packed)
        : k(k_),
          stride(packed ? ceil_div(k_, 4) * 4 : ceil_div(k_, bf16_depth) * bf16_depth),
          count(part_products(left_parts, right_parts)),
          left(left_parts == 1    ? 0
               : right_parts == 1 ? 0x210
                                  : 0x210100),
          right(right_parts == 1  ? 0
                : left_parts == 1 ? 0x210
                                  : 0x012010) {}

    __host__ __device__ int64_t steps() const { return ceil_div(count * stride, bf16_depth); }
};

// Part number `part` of x as a sum of three BF16 numbers.
__device__ inline bf16 bf16_part(float x, int part) {
    const bf16 high = round_bf16(x);
    if (part == 0) return high;
    x -= widen(high);
    const bf16 middle = round_bf16(x);
    return part == 1 ? middle : round_bf16(x - widen(middle));
}

}  // namespace nf4j::cuda
