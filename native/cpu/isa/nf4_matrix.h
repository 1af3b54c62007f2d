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
#include "cpu/isa/transpose.h"

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

// The scales of blocks b, b + 1, ...: nf4_blob.h's absmax, lane by lane. Lanes past the weight's last block hold what
// follows in its memory; sections are followed by the codes, which are longer than a vector.
inline Vec absmax(const Nf4Blob &blob, int64_t b) {
    if (blob.absmax32) return load(blob.absmax32 + b);
    const int64_t group = b / nested_block_size;
    const int64_t next = group + 1 < blob.nested_blocks ? group + 1 : group;
    const Vec left = broadcast(static_cast<float>(nested_block_size - b % nested_block_size));
    const Vec scale =
        select(lane_numbers() < left, broadcast(blob.nested_absmax[group]), broadcast(blob.nested_absmax[next]));
    return look_up_bytes(blob.nested_map, blob.absmax8 + b) * scale + broadcast(*blob.nested_offset);
}

// The scales of a band's rows, good up to column `end`.
struct BandScales {
    int64_t end = -1;

    // Of row h * lanes and the next ones.
    Vec operator[](int h) const { return load(window[at] + h * lanes); }

    // For a reader who goes on to the column before `last`.
    void read(const Nf4Matrix &w, int64_t band, int64_t column, int64_t last) {
        const int64_t size = w.blob.block_size, block = column >> w.block_shift;
        // Where every row's blocks begin at the same columns, and the reader wants more than a few of them.
        if (column >= window_end && w.blob.cols % size == 0 && last - column > few_blocks * size) fill(w, band, block);
        if (column < window_end) {
            at = block - first_block;
            end = (block + 1) << w.block_shift;
            return;
        }
        at = 0;
        int64_t run = size;
        for (int64_t r = 0; r < band_rows; r++) {
            const int64_t element = row_of(w, band, r) * w.blob.cols + column;
            window[0][r] = w.blob.absmax(element >> w.block_shift);
            const int64_t left = size - (element & (size - 1));
            run = left < run ? left : run;
        }
        end = column + run;
    }

private:
    static constexpr int64_t few_blocks = 4;

    alignas(64) float window[lanes][band_rows];  // of `lanes` neighbouring blocks of each row
    int64_t first_block = 0;
    int64_t window_end = -1;
    int64_t at = 0;

    static int64_t row_of(const Nf4Matrix &w, int64_t band, int64_t r) {
        const int64_t row = band * band_rows + r, last = w.blob.rows - 1;
        return row < last ? row : last;  // padding takes the last row's
    }

    // A row's scales stand side by side in the weight: they are read that way, and transposed.
    void fill(const Nf4Matrix &w, int64_t band, int64_t block) {
        const int64_t blocks = w.blob.cols >> w.block_shift;
        for (int64_t h = 0; h < band_rows; h += lanes) {
            Vec rows[lanes];
            for (int64_t i = 0; i < lanes; i++) rows[i] = absmax(w.blob, row_of(w, band, h + i) * blocks + block);
            transpose(rows);
            for (int64_t b = 0; b < lanes; b++) store(window[b] + h, rows[b]);
        }
        first_block = block;
        window_end = (block + lanes < blocks ? block + lanes : blocks) << w.block_shift;
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
