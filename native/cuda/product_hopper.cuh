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

// The weights of this warp: 16 features x 64 k in a step, which are asked for two steps and more before they are decoded. A step has
// few instructions to spare, so what can be worked out once for a tile of c is, and rows and columns that are not there are
// taken for the last ones: what is multiplied by them is 0, or nobody wants it.
template <class T>
class WeightFragments {
public:
    // What is on its way for one step.
    struct Slot {
        Vector<uint32_t, 4> codes;
        float absmax[2];
        int code[2];  // of the absmax, with double quantization
    };

    __device__ WeightFragments(const Nf4View &weight, const DecodeTables &tables)
        : weight_(weight),
          tables_(tables),
          absmax_(weight.absmax),
          absmax8_(weight.absmax8),
          absmax_shift_(weight.absmax_shift - 6),
          block_shift_(weight.block_shift - 6),
          nested_(weight.absmax8 != nullptr),
          offset_(nested_ ? *weight.nested_offset : 0),
          last_row_(static_cast<uint32_t>(weight.rows) - 1),
          tile_cols_(static_cast<uint32_t>(weight.tile_cols)) {}

    // Fetches come from the first step of a tile on.
    __device__ void begin(int64_t feature0) {
        const auto feature = static_cast<uint32_t>(feature0) + static_cast<uint32_t>(warp_id() * 16);
        if constexpr (T::backward) {
            tile_col_ = smaller(feature / nf4_tile_cols, tile_cols_ - 1);
            codes_from_ = weight_.codes + tile_col_ * nf4_tile_bytes + lane_id() * 16 + feature % nf4_tile_cols / 16 * 4;
            tile_row_ = 0;
        } else {
            const uint32_t tile_row = smaller(feature, last_row_) / nf4_tile_rows;
            codes_from_ = weight_.tile(tile_row, 0) + lane_id() * 16;
#pragma unroll
            for (int i = 0; i < 2; i++)
                blocks_[i] = smaller(tile_row * nf4_tile_rows + lane_id() / 4 + 8 * i, last_row_) * tile_cols_;
        }
    }

    // Asks for the weights of the next step.
    __device__ void fetch(Slot &slot) {
        if constexpr (T::backward) {
            // Fragment i is of tile row 4 step + i; the lanes t = i of each quad fetch its scales.
#pragma unroll
            for (int i = 0; i < T::fragments; i++) {
                const uint32_t tile_row = smaller(tile_row_ + i, last_row_ / nf4_tile_rows);
                slot.codes.v[i] =
                    load_global<uint32_t>(codes_from_ + uint64_t{tile_row} * (tile_cols_ * nf4_tile_bytes));
            }
            const uint32_t row = (tile_row_ + lane_id() % 4) * nf4_tile_rows + lane_id() / 4;
#pragma unroll
            for (int i = 0; i < 2; i++) fetch_scale(slot, i, smaller(row + 8 * i, last_row_) * tile_cols_ + tile_col_);
            tile_row_ += T::fragments;
        } else {
            slot.codes = load_global<Vector<uint32_t, 4>>(codes_from_);
            codes_from_ += nf4_tile_bytes;
#pragma unroll
            for (int i = 0; i < 2; i++) fetch_scale(slot, i, blocks_[i]++);
        }
    }

    // Fragment i is of k = 16 i ... of the step, pair by pair in the order of the bytes.
    __device__ void decode(const Slot &slot, WgmmaFragment (&a)[T::fragments]) const {
        float own[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float nested = tables_.nested(slot.code[i]) * slot.absmax[i] + offset_;
            own[i] = nested_ ? nested : slot.absmax[i];
        }
#pragma unroll
        for (int i = 0; i < T::fragments; i++) {
            float scales[2];
#pragma unroll
            for (int half = 0; half < 2; half++)
                scales[half] = T::backward ? shuffle(own[half], lane_id() / 4 * 4 + i) : own[half];
#pragma unroll
            for (int byte = 0; byte < 4; byte++) {
                const uint32_t weights = tables_.weights(slot.codes.v[i], byte, scales[byte % 2]);
                if constexpr (T::backward) {
                    a[i].set(byte % 2 * 2 + byte / 2, transpose_matrix(weights));
                } else {
                    a[i].set(byte, weights);
                }
            }
        }
    }

private:
    __device__ static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

    // Of a block of 64 weights.
    __device__ void fetch_scale(Slot &slot, int i, uint32_t block64) const {
        slot.absmax[i] = load_global<float>(absmax_ + (block64 >> absmax_shift_));
        slot.code[i] = nested_ ? load_global<uint8_t>(absmax8_ + (block64 >> block_shift_)) : 0;
    }

    const Nf4View &weight_;
    DecodeTables tables_;
    const float *absmax_;
    const uint8_t *absmax8_;
    int absmax_shift_, block_shift_;  // from blocks of 64 weights
    bool nested_;
    float offset_;
    uint32_t last_row_, tile_cols_;
    const uint8_t *codes_from_;
    uint32_t blocks_[2];            // forward: of rows g and g + 8
    uint32_t tile_row_, tile_col_;  // for dx
};

template <class T>
class HopperProduct {
public:
    using Sums = WgmmaSums<T::tokens>;
    using Fragments = WgmmaFragment[T::fragments];

    static constexpr int64_t shared_bytes =
        T::stages * T::box_bytes + DecodeTables::shared_bytes + SharedArena::bytes_of(2 * T::stages * 8);

    __device__ HopperProduct(const Product &p, const AdapterParts &adapter, SharedArena &arena)
        : p_(p),
          adapter_(adapter),
          adapter_steps_(static_cast<int>(adapter.depth / bf16_depth)),
          main_steps_(static_cast<int>(ceil_div(p.main.k, bf16_depth))),
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
    // body(feature0, token0)
    template <class Body>
    __device__ void for_each_tile(const Body &body) const {
        const int64_t tiles = across() * ceil_div(p_.m, T::tokens);
        for (int64_t tile = block_id(); tile < tiles; tile += grid_blocks())
            body(feature_of(tile), tile / across() * T::tokens);
    }
    __device__ int64_t across() const { return ceil_div(p_.n, T::features); }
    __device__ int64_t feature_of(int64_t tile) const { return tile % across() * T::features; }

    __device__ void produce(const TensorMap &left, const TensorMap &adapter_tokens) const {
        RingPlace<T::stages> at;
        for_each_tile([&](int64_t, int64_t token0) {
            for (int step = 0; step < adapter_steps_ + main_steps_; step++) {
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
        Fragments even, odd;
        Weights weights(*this, even);
        for_each_tile([&](int64_t feature0, int64_t token0) {
            Sums sums;
            sums.clear();
            if (adapter_steps_ > 0) add_adapter(feature0, odd, at, sums);
            add_main(weights, even, odd, at, sums);
            HopperResults(p_, feature0 + warp_id() * 16, token0).store(sums);
        });
    }

    // The weights of all steps of this block's tiles, one after the other. They are asked for by twos and then copied, as a
    // warp waits for all its loads alike: for those it has just begun, if there were such.
    class Weights {
    public:
        // Decodes the first step.
        __device__ Weights(const HopperProduct &of, Fragments &first)
            : of_(of), fragments_(of.p_.main.right.nf4, of.tables_), tile_(block_id()) {
            fragments_.begin(of.feature_of(tile_));
            fetch(ahead_[0]);
            fragments_.decode(ahead_[0], first);
            fetch(ahead_[0]);
            fetch(ahead_[1]);
        }

        // The next two steps are to be decoded, and those behind them asked for.
        __device__ void advance() {
            now_[0] = ahead_[0];
            now_[1] = ahead_[1];
            fetch(ahead_[0]);
            fetch(ahead_[1]);
        }
        __device__ void decode(int which, Fragments &a) const { fragments_.decode(now_[which], a); }

        // The same of one step.
        __device__ void decode_one(Fragments &a) {
            fragments_.decode(ahead_[0], a);
            ahead_[0] = ahead_[1];
            fetch(ahead_[1]);
        }

    private:
        // Behind the last tile there are weights that nobody will want.
        __device__ void fetch(typename WeightFragments<T>::Slot &slot) {
            if (fetched_ == of_.main_steps_) {
                tile_ += grid_blocks();
                fragments_.begin(of_.feature_of(tile_));
                fetched_ = 0;
            }
            fragments_.fetch(slot);
            fetched_++;
        }

        const HopperProduct &of_;
        WeightFragments<T> fragments_;
        typename WeightFragments<T>::Slot now_[2], ahead_[2];
        int64_t tile_;  // whose weights are fetched
        int fetched_ = 0;
    };

    // While a step is multiplied, the fragments of the next one are decoded: behind the last, the next tile's first.
    __device__ void add_main(Weights &weights, Fragments &even, Fragments &odd, RingPlace<T::stages> &at,
                             Sums &sums) const {
        hold(sums);
        int before = -1;
        for (int pairs = main_steps_ / 2; pairs > 0; pairs--) {
            weights.advance();
            multiply(sums, even, at, before);
            weights.decode(0, odd);
            multiply(sums, odd, at, before);
            weights.decode(1, even);
        }
        if (main_steps_ % 2 != 0) {
            multiply(sums, even, at, before);
            wgmma_wait<0>();
            weights.decode_one(even);
        }
        wgmma_wait<0>();
        release(before);
        hold(sums);
    }

    // Few steps, and a loop of their own: a wait for fragments that are loaded would be one for the weights, too.
    __device__ void add_adapter(int64_t feature0, Fragments &a, RingPlace<T::stages> &at, Sums &sums) const {
        hold(sums);
        int step = 0;
        do {  // not `for`: ptxas makes products wait for each other where it cannot see that there is one
            int before = -1;
            load_adapter(feature0, step, a);
            multiply(sums, a, at, before);
            wgmma_wait<0>();
            release(before);
        } while (++step < adapter_steps_);
        hold(sums);
    }

    // Begins the next step's products, and waits for those of the step `before`: its box and fragments are free then.
    __device__ void multiply(Sums &sums, Fragments &a, RingPlace<T::stages> &at, int &before) const {
        const uint64_t tile = wgmma_descriptor(ring_.address(at.stage * T::box));
        wait(full(at.stage), at.parity);
        wgmma_fence(a);
#pragma unroll
        for (int i = 0; i < T::fragments; i++) wgmma_bf16(sums, a[i], tile + wgmma_descriptor_k16 * i);
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

    __device__ void release(int stage) const {
        if (lane_id() == 0) arrive(empty(stage));
    }

    const Product &p_;
    const AdapterParts &adapter_;
    int adapter_steps_, main_steps_;
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
