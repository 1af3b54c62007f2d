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

// A part of k for which sums are loaded into tile registers and stored once: a piece of one segment, or the last piece of
// one and the first of the next.
//
// Where a segment's words are bf16_parts, a factor that is not BF16 as it stands in memory is the sum of three BF16 parts:
// high, and twice what rounding left of the one before. Together they have the 24 bits of F32, but infinity becomes NaN,
// and parts below 2^-126 count as 0. Within a piece k runs through the products of parts one after the other; those that
// are below 2^-24 of the largest are left out. Pieces depend on k and the factors' types alone, and so do a sum's bits.
class Pass {
public:
    // Adds elements of the segment from k on, as many as have room in `words` words, and moves on to those that follow:
    // in the same segment, or from 0 in the next.
    void add(const Segment *&segment, int64_t &k, int64_t words);

    // Words of k in a row of the left factor.
    int64_t left_steps() const { return left_steps_; }
    // A panel of the rows outer0 ... outer0 + rows - 1: [left_steps / 16][16 rows][16 words]. `staging`: as much room.
    void pack_left(int64_t outer0, int64_t rows, float *panel, float *staging) const;
    // A panel [words of k][width] of the right factor.
    void pack_right(int64_t outer0, int64_t width, float *panel) const;

    // sums [16][width] (+)= left * right for one or two neighbouring left panels, whose sums begin `panel_stride` floats
    // apart. width is 16 or 32. `fresh`: the sums start at zero.
    void multiply(int64_t panels, const float *left, const float *right, int64_t width, float *sums,
                  int64_t panel_stride, bool fresh) const;

private:
    // The parts of a factor, one after the other along k: digit i says which one is the i-th.
    struct Parts {
        int64_t count;
        uint32_t digits;
        int64_t steps;  // words of all of them, with zeros up to a whole tile
    };
    struct Piece {
        const Segment *segment;
        int64_t k, count;
        Parts left, right;
        int64_t part_words;
    };

    static void pack(const Piece &piece, const Operand &operand, const Parts &parts, int64_t outer0, int64_t width,
                     float *panel);
    template <bool two_panels, bool two_columns>
    void run(const float *left, const float *right, float *sums, int64_t panel_stride, bool fresh) const;

    Piece pieces_[2];
    int count_ = 0;
    int64_t left_steps_ = 0;
};

// c [m, n] = a [m, k words] * b [k words, n], or c += with `add`, for small factors that were not packed: rows of a are
// lda words apart, or where it is `transposed` [k words, m rounded up to 16] those of k. n is a multiple of 32.
void multiply_in_place(const float *a, int64_t lda, bool transposed, const float *b, int64_t ldb, float *c, int64_t ldc,
                       int64_t m, int64_t n, int64_t k, bool add);

}  // namespace nf4j::cpu::NF4J_ISA_NAME
