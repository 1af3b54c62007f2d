// Products of BF16 activations with NF4 weights on Hopper's wgmma, sums in F32: y = x * W^T and dx = dy * W for more
// tokens than 64.
//
// The problem is turned round, c^T [features, tokens] = W * x^T (or W^T * dy^T), because wgmma takes its left factor
// from registers, where a lane decodes the weights that it has loaded; they never touch shared memory. Features are
// the columns of c: rows of W, or for dx its columns.
//
//   block      128 features x 128 or 256 tokens, one after the other (persistent), k by 64
//   warps 0-7  two warpgroups of 64 features each: load, decode, multiply; warp w has features 16 w ...
//   warp 8     one thread copies boxes of 64 k x tokens of x into a ring by TMA; warps 9-11 only give registers back
//
//   shared memory, in order              256 tokens   128 tokens
//     ring of boxes [tokens][64]          4 x 32 KB    8 x 16 KB   128-byte rows, chunks exchanged (chunk ^ row % 8)
//     adapter: tokens [tokens][64]            32 KB        16 KB   the same layout, written by the consumers
//     adapter: features [128][64]             16 KB        16 KB
//     tables of decoding                      33 KB        33 KB   nf4_decode.cuh
//     mbarriers full, empty                    64 B        128 B
//
// Weights come straight from global memory, one step ahead, 16 bytes a lane: a warp's part of a step is one tile of
// fragment bytes (nf4_weight.cuh), 512 contiguous bytes that nobody else in the block needs, so that shared memory
// would add traffic and save nothing. Forward, a lane's word i of its tile is its A fragment of k = 16 i ... For dx the
// reduction runs over the tile's rows: word w (the warp's) of four tiles, and each 8x8 block is transposed between
// lanes (movmatrix): 16 for a step and warp, where a detour through shared memory would write and read all weights.
//
// One step of a consumer, for each of four fragments:  wait until the product that used the fragment a step ago is
// done; decode; fence; multiply. So up to three products are on their way while the next fragment is decoded, and a
// box goes back to the producer when the last product of its step is done.
//
// Budget of a step with 256 tokens, in clocks of an SM (a model: nobody has measured it): tensor cores 1024; shared
// memory 512 for B and 256 for the table; issue slots of each scheduler 2 warps x 250 of 1024. Floor: 2 m n k / 790
// TFLOP/s on an H100. L2: 32 KB of x and 4.5 KB of weights for each step and block.
//
// Sums begin with the adapter's product, then go over ascending k: the bits of product_bf16.cuh, as far as the two
// instructions round alike. An adapter with dropout (dx) stays there: factors between the two products would need the
// sums in other registers, and there are no more.
//
//     NF4J_SIMT_DEVICE=H100 make simt-run OP=nf4_matmul M=70 N=256 K=256
#pragma once

#include "cuda/adapter_parts.cuh"
#include "cuda/hopper_results.cuh"
#include "cuda/nf4_decode.cuh"
#include "cuda/ptx_hopper.cuh"

namespace nf4j::cuda {

template <class T, bool Backward>
struct HopperTile {
    static constexpr int features = T::n;
    static constexpr int tokens = T::m;
    static constexpr bool backward = Backward;  // dx = dy * W
    static constexpr int halves = tokens / WgmmaSums::cols;
    static constexpr int consumers = T::threads;
    static constexpr int threads = consumers + 128;
    static constexpr int box = tokens * bf16_depth;
    static constexpr int box_bytes = box * 2;
    static constexpr int stages = T::stages;
    static constexpr int fragments = bf16_depth / 16;
};

// A place in the ring, and the parity of its phase.
template <int Stages>
struct RingPlace {
    int stage = 0;
    uint32_t parity = 0;

    __device__ void advance() {
        if (++stage < Stages) return;
        stage = 0;
        parity ^= 1;
    }
};

// The weights of this warp: 16 features x 64 k in a step.
template <class T>
class WeightFragments {
public:
    // Asks for the weights of a first step.
    __device__ WeightFragments(const Nf4View &weight, const DecodeTables &tables, int64_t feature0)
        : weight_(weight), tables_(tables), next_scales_(weight) {
        fetch(feature0, 0);
    }

    // Takes the weights that were asked for, and asks for those of a next step.
    __device__ void advance(int64_t feature0, int64_t step) {
        codes_ = next_codes_;
#pragma unroll
        for (int i = 0; i < 2; i++) scales_[i] = next_scales_.get(tables_, i);
        fetch(feature0, step);
    }

    // Fragment i is of k = 16 i ... of the step, pair by pair in the order of the bytes.
    __device__ void decode(WgmmaFragment (&a)[T::fragments]) const {
#pragma unroll
        for (int i = 0; i < T::fragments; i++) {
            const float scales[2] = {scale(0, i), scale(1, i)};
#pragma unroll
            for (int byte = 0; byte < 4; byte++) {
                const uint32_t weights = tables_.weights(codes_.v[i], byte, scales[byte % 2]);
                if constexpr (T::backward) {
                    a[i].set(byte % 2 * 2 + byte / 2, transpose_matrix(weights));
                } else {
                    a[i].set(byte, weights);
                }
            }
        }
    }

private:
    // Where there are no weights the codes stay what they were; what is multiplied by them is 0, or nobody wants it.
    __device__ void fetch(int64_t feature0, int64_t step) {
        const int64_t feature = feature0 + warp_id() * 16;
        const auto tile_rows = static_cast<uint32_t>(ceil_div(weight_.rows, nf4_tile_rows)),
                   tile_cols = static_cast<uint32_t>(weight_.tile_cols), step32 = static_cast<uint32_t>(step);
        const uint8_t *own = weight_.codes + lane_id() * 16;
        if constexpr (T::backward) {
            // Fragment i is of tile row 4 step + i; the lanes t = i of each quad fetch its scales.
            const uint32_t tile_row = step32 * T::fragments;
            const auto tile_col = static_cast<uint32_t>(feature / nf4_tile_cols);
            own += feature % nf4_tile_cols / 16 * 4;
#pragma unroll
            for (int i = 0; i < T::fragments; i++) {
                const uint32_t tile = (tile_row + i) * tile_cols + tile_col;
                if (tile_row + i < tile_rows && tile_col < tile_cols)
                    next_codes_.v[i] = load_global<uint32_t>(own + uint64_t{tile} * nf4_tile_bytes);
            }
            next_scales_.fetch((tile_row + lane_id() % 4) * nf4_tile_rows + lane_id() / 4, tile_col);
        } else {
            const auto tile_row = static_cast<uint32_t>(feature / nf4_tile_rows);
            const uint32_t tile = tile_row * tile_cols + step32;
            if (tile_row < tile_rows)
                next_codes_ = load_global<Vector<uint32_t, 4>>(own + uint64_t{tile} * nf4_tile_bytes);
            next_scales_.fetch(tile_row * nf4_tile_rows + lane_id() / 4, step32);
        }
    }

    __device__ float scale(int half, int fragment) const {
        if constexpr (T::backward) return shuffle(scales_[half], lane_id() / 4 * 4 + fragment);
        return scales_[half];
    }

    const Nf4View &weight_;
    DecodeTables tables_;
    Vector<uint32_t, 4> codes_, next_codes_ = {};
    float scales_[2];
    ScalesAhead<1> next_scales_;
};

template <class T>
class HopperProduct {
public:
    using Sums = WgmmaSums[T::halves];
    using Fragments = WgmmaFragment[T::fragments];

    static constexpr int64_t shared_bytes =
        T::stages * T::box_bytes + DecodeTables::shared_bytes + SharedArena::bytes_of(2 * T::stages * 8);

    __device__ HopperProduct(const Product &p, const AdapterParts &adapter, SharedArena &arena)
        : p_(p),
          adapter_(adapter),
          adapter_steps_(static_cast<int>(adapter.depth / bf16_depth)),
          steps_(adapter_steps_ + static_cast<int>(ceil_div(p.main.k, bf16_depth))),
          ring_(arena.take<bf16>(T::stages * T::box)),
          tables_(arena),
          mbarriers_(arena.take<uint64_t>(2 * T::stages)) {}

    __device__ void run(const TensorMap &left, const TensorMap &adapter_tokens) {
        if (thread_id() == 0) {
            for (int stage = 0; stage < T::stages; stage++) {
                init_mbarrier(full(stage), 1);
                init_mbarrier(empty(stage), T::consumers / warp_size);
            }
            publish_mbarriers();
        }
        tables_.fill(p_.main.right.nf4, T::threads);
        sync_threads();
        // 168 registers each at the launch: 128 x 24 + 256 x 240 are no more.
        if (thread_id() < T::consumers) {
            take_registers<240>();
            consume();
        } else {
            give_registers_back<24>();
            if (thread_id() == T::consumers) produce(left, adapter_tokens);
        }
    }

private:
    __device__ SharedAddress full(int stage) const { return mbarriers_.address(stage); }
    __device__ SharedAddress empty(int stage) const { return mbarriers_.address(T::stages + stage); }

    // The tiles of this block, in the same order for producer and consumers: blocks that run together share x.
    // body(feature0, token0, feature0 of the tile after it)
    template <class Body>
    __device__ void for_each_tile(const Body &body) const {
        const int64_t across = ceil_div(p_.n, T::features), tiles = across * ceil_div(p_.m, T::tokens);
        for (int64_t tile = block_id(); tile < tiles; tile += grid_blocks()) {
            body(tile % across * T::features, tile / across * T::tokens, (tile + grid_blocks()) % across * T::features);
        }
    }

    __device__ void produce(const TensorMap &left, const TensorMap &adapter_tokens) const {
        RingPlace<T::stages> at;
        for_each_tile([&](int64_t, int64_t token0, int64_t) {
            for (int step = 0; step < steps_; step++) {
                const bool of_adapter = step < adapter_steps_;
                wait(empty(at.stage), at.parity ^ 1);  // at once in the first round
                arrive_expecting(full(at.stage), T::box_bytes);
                copy_box(ring_.address(at.stage * T::box), of_adapter ? adapter_tokens : left, static_cast<int>(token0),
                         (of_adapter ? step : step - adapter_steps_) * bf16_depth, full(at.stage));
                at.advance();
            }
        });
    }

    __device__ void consume() const {
        RingPlace<T::stages> at;
        WeightFragments<T> weights(p_.main.right.nf4, tables_, block_id() % ceil_div(p_.n, T::features) * T::features);
        for_each_tile([&](int64_t feature0, int64_t token0, int64_t next_feature0) {
            Sums sums;
#pragma unroll
            for (int h = 0; h < T::halves; h++) sums[h].clear();
            add_steps(feature0, next_feature0, weights, at, sums);
            HopperResults(p_, feature0 + warp_id() * 16, token0).store(sums);
        });
    }

    // While a step is multiplied, the fragments of the next one are made.
    __device__ void add_steps(int64_t feature0, int64_t next_feature0, WeightFragments<T> &weights,
                              RingPlace<T::stages> &at, Sums &sums) const {
        Fragments even, odd;
        const auto make = [&](int step, Fragments &a) {
            if (step < adapter_steps_) {
                load_adapter(feature0, step, a);
            } else if (step < steps_) {
                const bool is_last = step + 1 == steps_;
                weights.advance(is_last ? next_feature0 : feature0, is_last ? 0 : step + 1 - adapter_steps_);
                weights.decode(a);
            }
        };
        make(0, even);
        hold_all(sums);
        int before = -1;
        for (int step = 0; step < steps_; step += 2) {
            multiply(sums, even, at, before);
            make(step + 1, odd);
            if (step + 1 == steps_) break;
            multiply(sums, odd, at, before);
            make(step + 2, even);
        }
        wgmma_wait<0>();
        release(before);
        hold_all(sums);
    }

    // Begins the next step's products, and waits for those of the step `before`: its box and fragments are free then.
    __device__ void multiply(Sums &sums, Fragments &a, RingPlace<T::stages> &at, int &before) const {
        wait(full(at.stage), at.parity);
        const Shared<bf16> tile = ring_.template as<bf16>(at.stage * T::box);
        wgmma_fence(a);
#pragma unroll
        for (int i = 0; i < T::fragments; i++) {
#pragma unroll
            for (int h = 0; h < T::halves; h++)
                wgmma_bf16(sums[h], a[i], wgmma_descriptor(tile.address(h * WgmmaSums::cols * bf16_depth + 16 * i)));
        }
        wgmma_commit();
        wgmma_wait<1>();
        if (before >= 0) release(before);
        before = at.stage;
        at.advance();
    }

    __device__ void load_adapter(int64_t feature0, int step, Fragments &a) const {
        const int64_t feature = feature0 + warp_id() * AdapterParts::feature_rows;
        const bf16 *from = adapter_.features + feature * adapter_.depth + (step * T::fragments * warp_size + lane_id()) * 8;
        const bool there = feature < p_.n;
#pragma unroll
        for (int i = 0; i < T::fragments; i++) {
            Vector<uint32_t, 4> registers = {};
            if (there) registers = load_global<Vector<uint32_t, 4>>(from + i * warp_size * 8);
#pragma unroll
            for (int r = 0; r < 4; r++) a[i].set(r, registers.v[r]);
        }
    }

    __device__ static void hold_all(Sums &sums) {
#pragma unroll
        for (int h = 0; h < T::halves; h++) hold(sums[h]);
    }

    __device__ void release(int stage) const {
        if (lane_id() == 0) arrive(empty(stage));
    }

    const Product &p_;
    const AdapterParts &adapter_;
    int adapter_steps_;
    int steps_;  // of k, the adapter's first
    Shared<bf16> ring_;
    DecodeTables tables_;
    Shared<uint64_t> mbarriers_;
};

template <class T>
__global__ void __launch_bounds__(T::threads, 1)
    product_hopper_kernel(const Product p, const AdapterParts adapter, const __grid_constant__ TensorMap left,
                          const __grid_constant__ TensorMap adapter_tokens) {
    SharedArena arena;
    HopperProduct<T>(p, adapter, arena).run(left, adapter_tokens);
}

}  // namespace nf4j::cuda
