// The innermost loop of a product: a tile of sums in registers.
#pragma once

#include "cpu/isa/simd.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

// Rows of a left panel and columns of a right panel. Columns are a multiple of 16, the rows of an NF4 band; the rows
// are what then fits the registers.
#if defined(__AVX512F__)
constexpr int tile_rows = 14;
constexpr int tile_columns = 32;
#elif defined(__AVX2__) || defined(__aarch64__)
constexpr int tile_rows = 6;
constexpr int tile_columns = 16;
#else
constexpr int tile_rows = 2;
constexpr int tile_columns = 16;
#endif

// sums [rows][width] (+)= left [steps][rows] * right [steps][width], words as in Words. `fresh`: the sums start at
// zero.
typedef void (*MicroKernel)(int64_t steps, const float *left, const float *right, float *sums, bool fresh);

// 1 <= rows <= tile_rows; width 16 or tile_columns.
MicroKernel micro_kernel(int64_t rows, int64_t width, bool pairs);

}  // namespace nf4j::cpu::NF4J_ISA_NAME
