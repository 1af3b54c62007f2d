// Products of rows in shared memory on tensor cores, for the BF16 attention kernels: scores, and sums of rows.
#pragma once

#include "cuda/attention_rows.cuh"

namespace nf4j::cuda {

// M x N sums of one warp, as the fragments of mma.m16n8k16.
template <int M, int N>
class WarpTile {
public:
    // += rows row ... + M - 1 of `left` times all N rows of `right`, products over D columns.
    template <int D, class Left, class Right>
    __device__ void add_products(const Left &left, int row, const Right &right) {
#pragma unroll 4  // a line of 64 columns: more at once would spill registers
        for (int k16 = 0; k16 < D / 16; k16++) {
            uint32_t a[M / 16][4];
#pragma unroll
            for (int i = 0; i < M / 16; i++) left.left(a[i], row + 16 * i, k16);
#pragma unroll
            for (int j = 0; j < N / 16; j++) {
                uint32_t b[4];
                right.right_rows(b, 16 * j, k16);
                multiply(a, b, j);
            }
        }
    }

    // += the weights, rounded to BF16, times all rows of `right`.
    template <int K, class Right>
    __device__ void add_sums(const WarpTile<M, K> &weights, const Right &right) {
#pragma unroll
        for (int k16 = 0; k16 < K / 16; k16++) {
            uint32_t a[M / 16][4];
#pragma unroll
            for (int i = 0; i < M / 16; i++) {
#pragma unroll
                for (int r = 0; r < 4; r++) {
                    const int row = 2 * i + r % 2, column = 4 * k16 + r / 2 * 2;
                    a[i][r] = pack_bf16(weights.at(row, column), weights.at(row, column + 1));
                }
            }
#pragma unroll
            for (int j = 0; j < N / 16; j++) {
                uint32_t b[4];
                right.right_sums(b, 16 * k16, j);
                multiply(a, b, j);
            }
        }
    }

    // This lane has rows row_of(0 ... my_rows - 1), and of each the columns column_of(0 ... my_columns - 1).
    static constexpr int my_rows = M / 8;
    static constexpr int my_columns = N / 4;

    __device__ static int row_of(int i) { return 8 * i + lane_id() / 4; }
    __device__ static int column_of(int c) { return c / 2 * 8 + lane_id() % 4 * 2 + c % 2; }
    __device__ float &at(int i, int c) { return d[i / 2][c / 2][i % 2 * 2 + c % 2]; }
    __device__ float at(int i, int c) const { return d[i / 2][c / 2][i % 2 * 2 + c % 2]; }

    // Calls body(sum, i, c) for every sum of this lane.
    template <class Body>
    __device__ void for_each(const Body &body) {
#pragma unroll
        for (int i = 0; i < my_rows; i++) {
#pragma unroll
            for (int c = 0; c < my_columns; c++) body(at(i, c), i, c);
        }
    }

    // Writes the rows to memory, by way of the rows `first` ... of `through`, which are the warp's own. factor(i)
    // multiplies row_of(i).
    template <class Through, class Rows, class Factor>
    __device__ void store(const HeadMatrix &to, const Rows &rows, const Through &through, int first,
                          const Factor &factor) const {
#pragma unroll
        for (int i = 0; i < my_rows; i++) {
            const float f = factor(i);
#pragma unroll
            for (int c = 0; c < my_columns; c += 2)
                through.store_pair(first + row_of(i), column_of(c), f * at(i, c), f * at(i, c + 1));
        }
        sync_warp();
        through.put(to, rows, first, M);
    }

private:
    // d[..][..][e]: lane l has columns 2 (l % 4) + e % 2 of rows l / 4 + e / 2 * 8.
    float d[M / 16][N / 8][4] = {};

    __device__ void multiply(const uint32_t (&a)[M / 16][4], const uint32_t (&b)[4], int j) {
#pragma unroll
        for (int i = 0; i < M / 16; i++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const uint32_t pair[2] = {b[2 * half], b[2 * half + 1]};
                mma_bf16(d[i][2 * j + half], a[i], pair);
            }
        }
    }
};

}  // namespace nf4j::cuda
