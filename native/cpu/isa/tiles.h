// Products of BF16 pairs in the tile registers of AMX: TDPBF16PS adds to 16 x 16 sums what 16 rows and 16 columns give
// over 32 elements of k. Intel's Software Developer's Manual, volume 1, chapter 18, and the instruction's page: it adds
// the products of even and of odd k apart, from zero, and then both to the sum. So a sum is still one chain over
// ascending k, but not the one of VDPBF16PS.
#pragma once

#include "cpu/isa/gemm.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

#if defined(__AMX_BF16__)
constexpr bool has_tiles = true;
#else
constexpr bool has_tiles = false;
#endif

constexpr int64_t tile_side = 16;  // rows, columns, and words of k

inline int64_t whole_tiles(int64_t n) { return (n + tile_side - 1) / tile_side * tile_side; }

// The calling thread's tile registers, in use while this lives, for a product of `rows` rows: fewer than 16 take less
// time. Two tiles, which multiply_in_place uses, have `tail` words of k. A thread that holds tiles is saved and restored
// with 8 KiB more.
class TileRegisters {
public:
    explicit TileRegisters(int64_t rows, int64_t tail = tile_side);
    ~TileRegisters();
    TileRegisters(const TileRegisters &) = delete;
    TileRegisters &operator=(const TileRegisters &) = delete;
};

// A left panel [words of k / 16][16 rows][16 words] of the rows outer0 ... outer0 + rows - 1; zeros fill up rows and k.
// `staging`: room for as many words.
void pack_tiles(const Operand &operand, int64_t k0, int64_t count, int64_t outer0, int64_t rows, float *panel,
                float *staging);

// sums [16][width] (+)= left * right for one or two neighbouring left panels, whose sums begin `panel_stride` floats
// apart. `right` is a panel [steps][width] as for the micro-kernel, width 16 or 32, steps a multiple of 16. `fresh`: the
// sums start at zero.
void multiply_tiles(int64_t panels, int64_t steps, const float *left, const float *right, int64_t width, float *sums,
                    int64_t panel_stride, bool fresh);

// c [m, n] = a [m, k words] * b [k words, n], or c += with `add`, for small factors that were not packed: rows of a are
// lda words apart, or where it is `transposed` [k words, m rounded up to 16] those of k. n is a multiple of 32.
void multiply_in_place(const float *a, int64_t lda, bool transposed, const float *b, int64_t ldb, float *c, int64_t ldc,
                       int64_t m, int64_t n, int64_t k, bool add);

}  // namespace nf4j::cpu::NF4J_ISA_NAME
