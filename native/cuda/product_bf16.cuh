// The product of BF16 factors on tensor cores, mma.sync m16n8k16, sums in F32.
//
// A block has Tile::m x Tile::n of c; k goes by 64 through Tile::stages buffers that cp.async fills ahead. Both tiles
// stand in shared memory with their 16-byte chunks exchanged by row (chunk ^ row % 8), so that ldmatrix and the copies
// meet no bank conflict. How a factor gets there is its Load:
//
//   rows         BF16, k along the row: cp.async into [outer][64]
//   columns      BF16, k down the column: cp.async into [64][outer], read with ldmatrix.trans
//   nf4_rows     codes by cp.async; each warp decodes one tile of 16x64 weights into [outer][64]
//   nf4_columns  the same into [64][outer]: dX = dY * W from the very bytes of Y = X * W^T
//   elements     anything, element by element, F32 split into BF16 parts where all bits count
//
// Where c has few tiles, k is split (tiles.h): a block has one tile's share of it, the first one also the adapter.
//
// One step, for the tile that landed:  wait; decode; barrier; start the copy of the step after the next; multiply.
//
//     make simt-run OP=dense_matmul M=70 N=100 K=200
//     make simt-run OP=nf4_matmul M=70 N=100 K=256
//     make simt-run OP=nf4_matmul_backward M=70 N=128 K=256
#pragma once

#include "cuda/factor.cuh"
#include "cuda/launch.h"

namespace nf4j::cuda {

// A tile of sums in shared memory. With 8 elements behind each row, fragments come and go without bank conflicts.
template <class T>
struct Staged {
    static constexpr int pitch = T::n + 8;
    static constexpr int64_t bytes = T::m * pitch * 4;

    // Calls body(row, col, place) for all that begin four neighbouring elements, shared out among the threads.
    template <class Body>
    __device__ static void for_each_quad(const Body &body) {
        for (int i = thread_id(); i < T::m * (T::n / 4); i += T::threads) {
            const int row = i / (T::n / 4), col = i % (T::n / 4) * 4;
            body(row, col, row * pitch + col);
        }
    }
};

// The sums of one warp: its part of the tile, as fragments of 16x8.
template <class T>
struct WarpSums {
    static constexpr int rows = T::warp_m / 16;
    static constexpr int cols = T::warp_n / 8;

    float d[rows][cols][4] = {};

    __device__ static int row0() { return warp_id() / T::warps_n * T::warp_m; }
    __device__ static int col0() { return warp_id() % T::warps_n * T::warp_n; }

    // += the product of the tiles of a step.
    template <class Left, class Right>
    __device__ void add(const Left &left, const Right &right) {
#pragma unroll
        for (int k16 = 0; k16 < bf16_depth / 16; k16++) {
            uint32_t a[rows][4], b[cols / 2][4];
#pragma unroll
            for (int i = 0; i < rows; i++) left.left_fragment(a[i], row0() + 16 * i, k16);
#pragma unroll
            for (int j = 0; j < cols / 2; j++) right.right_fragments(b[j], col0() + 16 * j, k16);
#pragma unroll
            for (int i = 0; i < rows; i++) {
#pragma unroll
                for (int j = 0; j < cols; j++) {
                    const uint32_t half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    mma_bf16(d[i][j], a[i], half);
                }
            }
        }
    }

    // To and from shared memory, where every thread can then have neighbours in a row.
    __device__ void store(const Shared<float> &staged) {
        for_each_pair([&](int at, float low, float high) { staged.template store<2>(at, {{low, high}}); });
    }
    __device__ void load(const Shared<float> &staged) {
        for_each_pair([&](int at, float &low, float &high) {
            const Vector<float, 2> pair = staged.template load<2>(at);
            low = pair.v[0];
            high = pair.v[1];
        });
    }

private:
    // Calls body(place, element, element behind it).
    template <class Body>
    __device__ void for_each_pair(const Body &body) {
#pragma unroll
        for (int i = 0; i < rows; i++) {
#pragma unroll
            for (int j = 0; j < cols; j++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int row = row0() + 16 * i + lane_id() / 4 + half * 8,
                              col = col0() + 8 * j + lane_id() % 4 * 2;
                    body(row * Staged<T>::pitch + col, d[i][j][2 * half], d[i][j][2 * half + 1]);
                }
            }
        }
    }
};

// The adapter's product: few steps, of elements that must be converted; one buffer.
template <class T>
using AdapterLeft = Factor<Load::elements, T::m, T::threads, 1>;
template <class T>
using AdapterRight = Factor<Load::elements, T::n, T::threads, 1>;

template <class T>
__device__ inline void add_adapter(const Segment &s, int m0, int n0, WarpSums<T> &sums) {
    SharedArena arena;
    const Parts parts(s.left.parts, s.right.parts, s.k, true);
    AdapterLeft<T> left(s.left, m0, parts, parts.left, arena);
    AdapterRight<T> right(s.right, n0, parts, parts.right, arena);
    const int64_t steps = parts.steps();
    for (int64_t step = 0; step < steps; step++) {
        left.issue();
        right.issue();
        sync_threads();
        sums.add(left, right);
        sync_threads();
    }
}

template <Load left_load, Load right_load, class T>
struct Bf16Product {
    using Left = Factor<left_load, T::m, T::threads, T::stages>;
    using Right = Factor<right_load, T::n, T::threads, T::stages>;

    static constexpr int64_t main_bytes = Left::shared_bytes() + Right::shared_bytes();
    static constexpr int64_t adapter_bytes = AdapterLeft<T>::shared_bytes() + AdapterRight<T>::shared_bytes();
    static constexpr int64_t factor_bytes = main_bytes > adapter_bytes ? main_bytes : adapter_bytes;
    static constexpr int64_t shared_bytes = factor_bytes > Staged<T>::bytes ? factor_bytes : Staged<T>::bytes;

    __device__ static void run(const Product &p) {
        // A grid has fewer than 2^31 blocks.
        const int tiles_m = static_cast<int>(ceil_div(p.m, T::m)),
                  tiles = tiles_m * static_cast<int>(ceil_div(p.n, T::n));
        const int block = static_cast<int>(block_id()), tile = block % tiles, split = block / tiles;
        const int m0 = tile % tiles_m * T::m, n0 = tile / tiles_m * T::n;
        WarpSums<T> sums;
        if (p.adapter.k > 0 && split == 0) {
            add_adapter(p.adapter, m0, n0, sums);
            if (p.masked_adapter) mask(p.dropout, m0, n0, sums);
        }
        add_main(p, split, m0, n0, sums);
        sync_threads();  // nobody reads factors any more
        SharedArena arena;
        const Shared<float> staged = arena.take<float>(Staged<T>::bytes / 4);
        sums.store(staged);
        sync_threads();
        Staged<T>::for_each_quad([&](int row, int col, int at) {
            if (m0 + row < p.m && n0 + col < p.n)
                store_results(p, split * p.m + m0 + row, n0 + col, staged.template load<4>(at));
        });
    }

private:
    // Four neighbours share the work of a counter.
    __device__ static void mask(const Dropout &dropout, int m0, int n0, WarpSums<T> &sums) {
        SharedArena arena;
        const Shared<float> staged = arena.take<float>(Staged<T>::bytes / 4);
        sums.store(staged);
        sync_threads();
        Staged<T>::for_each_quad([&](int row, int col, int at) {
            Vector<float, 4> quad = staged.template load<4>(at);
            const KeptQuad kept(dropout, m0 + row, n0 + col);
#pragma unroll
            for (int e = 0; e < 4; e++) quad.v[e] *= kept[e] ? dropout.scale : 0;
            staged.template store<4>(at, quad);
        });
        sync_threads();
        sums.load(staged);
        sync_threads();
    }

    __device__ static void add_main(const Product &p, int split, int m0, int n0, WarpSums<T> &sums) {
        const Segment &s = p.main;
        SharedArena arena;
        constexpr bool packed = left_load == Load::elements && right_load == Load::elements;
        const Parts parts(s.left.parts, s.right.parts, s.k, packed);
        Left left(s.left, m0, parts, parts.left, arena);
        Right right(s.right, n0, parts, parts.right, arena);
        const int64_t first = parts.steps() * split / p.splits, end = parts.steps() * (split + 1) / p.splits;
        const auto issue = [&](int64_t step) {
            if (step < end) {
                left.issue();
                right.issue();
            }
            commit_copies();  // an empty group keeps the count of groups that wait_copies knows
        };
        left.begin(first);
        right.begin(first);
        for (int ahead = 0; ahead < T::stages - 1; ahead++) issue(first + ahead);
        sync_threads();  // the tables of begin()
        for (int64_t step = first; step < end; step++) {
            wait_copies<T::stages - 2>();
            right.ready();
            sync_threads();  // the tiles of the step are there, and everybody is past the step before, whose buffer is
                             // free
            issue(step + T::stages - 1);
            sums.add(left, right);
            left.next();
            right.next();
        }
    }
};

template <Load left, Load right, class T>
__global__ void __launch_bounds__(T::threads, 1) product_bf16_kernel(const Product p) {
    Bf16Product<left, right, T>::run(p);
}

template <class T, Load left, Load right>
int32_t launch_bf16(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    return launch(stream, name, choice.blocks, T::threads, Bf16Product<left, right, T>::shared_bytes,
                  product_bf16_kernel<left, right, T>, p);
}

}  // namespace nf4j::cuda
