// A tile of fragment bytes by rows. Lane 4 g + t has two columns of each block of 8 columns in the rows g and g + 8, a
// byte for each row and block (nf4_weight.cuh). Whoever reads or writes weights wants 8 neighbours, so the four lanes of a
// quad exchange bytes until a lane has whole blocks:
//
//   block       0    1    2    3    4    5    6    7              0    1    2    3    4    5    6    7
//   lane t = 0  #... #... #... #... #... #... #... #...           ####                ####
//   lane t = 1  .#.. .#.. .#.. .#.. .#.. .#.. .#.. .#..    <->         ####                ####
//   lane t = 2  ..#. ..#. ..#. ..#. ..#. ..#. ..#. ..#.                     ####                ####
//   lane t = 3  ...# ...# ...# ...# ...# ...# ...# ...#                          ####                ####
//
// Then byte i of word p has columns 2p and 2p + 1 of block t + i / 2 * 4 in row g + i % 2 * 8.
#pragma once

#include "cuda/nf4_weight.cuh"

namespace nf4j::cuda {

// What part i of a lane's 8 columns are: the first one, and their row.
__device__ inline int column_of_part(int i) { return (lane_id() % 4 + i / 2 * 4) * 8; }
__device__ inline int row_of_part(int i) { return lane_id() / 4 + i % 2 * 8; }

// words[s] of lane t becomes words[t] of lane s, in each quad.
__device__ inline void transpose_quad(uint32_t (&words)[4]) {
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2) {
        const bool upper = (lane_id() & bit) != 0;
#pragma unroll
        for (int low = 0; low < 4; low++) {
            if (low & bit) continue;
            const int high = low | bit;
            const uint32_t received = shuffle_xor(upper ? words[low] : words[high], bit);
            words[low] = upper ? received : words[low];
            words[high] = upper ? words[high] : received;
        }
    }
}

// Blocks d and d + 4 are for lane d of the quad. They stand in half d % 2 of two words.
__device__ inline void rows_of_fragments(const Vector<uint32_t, 4> &fragments, uint32_t (&rows)[4]) {
#pragma unroll
    for (int d = 0; d < 4; d++) {
        const uint32_t first = fragments.v[d / 2] >> (d % 2 * 16), second = fragments.v[2 + d / 2] >> (d % 2 * 16);
        rows[d] = (first & 0xffff) | second << 16;
    }
    transpose_quad(rows);
}

__device__ inline Vector<uint32_t, 4> fragments_of_rows(uint32_t (&rows)[4]) {
    transpose_quad(rows);
    Vector<uint32_t, 4> fragments;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        fragments.v[i] = (rows[2 * i] & 0xffff) | rows[2 * i + 1] << 16;
        fragments.v[2 + i] = rows[2 * i] >> 16 | (rows[2 * i + 1] & 0xffff0000);
    }
    return fragments;
}

}  // namespace nf4j::cuda
