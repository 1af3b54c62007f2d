// The cpu backend's layout of an NF4 weight [out, in], one for forward and backward and for all instruction sets.
//
// Codes stand in tiles of 16 rows x 8 columns, 64 bytes each (codes.h). The tiles of a band of 16 rows follow one
// another along the columns, then comes the next band. Rows are padded to 16 and columns to 8. The scales stay in
// bitsandbytes' order, so blocks may straddle rows.
#pragma once

#include "core/nf4_blob.h"
#include "cpu/isa/codes.h"
#include "cpu/isa/gemm.h"
#include "cpu/isa/micro_kernel.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

constexpr int64_t band_rows = 16;
constexpr int64_t tile_cols = 8;

inline int64_t code_bytes(int64_t rows, int64_t cols) {
    return (rows + band_rows - 1) / band_rows * ((cols + tile_cols - 1) / tile_cols) * 64;
}

struct Nf4Matrix {
    Nf4Blob blob;
    int block_shift;  // block sizes are powers of two
    int64_t tiles;    // in a band

    explicit Nf4Matrix(const nf4j_nf4_weight &weight)
        : blob(weight, code_bytes(weight.rows, weight.cols)),
          block_shift(__builtin_ctzll(static_cast<uint64_t>(weight.block_size))),
          tiles((weight.cols + tile_cols - 1) / tile_cols) {}

    uint32_t *tile(int64_t band, int64_t t) const {
        return reinterpret_cast<uint32_t *>(blob.codes) + (band * tiles + t) * 16;
    }
};

// The scales of a band's rows, good up to column `end`.
struct BandScales {
    float values[band_rows];
    int64_t end = -1;

    void read(const Nf4Matrix &w, int64_t band, int64_t column) {
        const int64_t first = band * band_rows;
        const int64_t last = w.blob.rows - 1;
        int64_t run = w.blob.block_size;
        for (int64_t r = 0; r < band_rows; r++) {
            const int64_t row = first + r < last ? first + r : last;  // padding takes the last row's
            const int64_t element = row * w.blob.cols + column;
            values[r] = w.blob.absmax(element >> w.block_shift);
            const int64_t left = w.blob.block_size - (element & (w.blob.block_size - 1));
            run = left < run ? left : run;
        }
        end = column + run;
    }
};

// Panels [k][width] of the right factor, width 16 or 32: outer are the rows of w and k its columns, and the other way
// round.
void decode_forward(const Nf4Matrix &w, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width,
                    float *panel);
void decode_backward(const Nf4Matrix &w, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width,
                     float *panel);

// Up to this many tokens, x * W^T is better decoded and multiplied in one go. They fit one panel.
constexpr int64_t few_rows = tile_rows < 4 ? tile_rows : 4;

// sums (+)= left [words of k][rows] * `bands` bands of w from band0 on; the sums stand in tiles as those of a block
// (gemm.cpp).
void multiply_few_rows(const Nf4Matrix &w, Words words, int64_t rows, int64_t k0, int64_t count, int64_t band0,
                       int64_t bands, const float *left, float *sums, bool fresh);

}  // namespace nf4j::cpu::NF4J_ISA_NAME
