// Products of BF16 activations with NF4 weights on Hopper's wgmma, sums in F32: y = x * W^T and dx = dy * W for more
// tokens than 32.
//
// The problem is turned round, c^T [features, tokens] = W * x^T (or W^T * dy^T), because wgmma takes its left factor
// from registers, where a lane decodes the weights that it has loaded; they never touch shared memory. Features are
// the columns of c: rows of W, or for dx its columns.
//
//   block      128 features x 128 or 256 tokens, one after the other (persistent), k by 64; where tiles are few, k is
//              split (tiles.h), and the first split has the adapter
//   warps 0-7  two warpgroups of 64 features each: load, decode, multiply; warp w has features 16 w ...
//   warp 8     one thread copies boxes of 64 k x tokens of x into a ring by TMA; warps 9-11 only give registers back
//
//   shared memory, in order              256 tokens   128 tokens
//     ring of boxes [tokens][64]          4 x 32 KB    8 x 16 KB   128-byte rows, chunks exchanged (chunk ^ row % 8)
//     tables of decoding                      65 KB        65 KB   nf4_decode.cuh
//     mbarriers full, empty                    64 B        128 B
//
// Weights come straight from global memory, a pair of steps ahead, 16 bytes a lane and step: a warp's part of a step is one
// tile of fragment bytes (nf4_weight.cuh), 512 contiguous bytes that nobody else in the block needs, so that shared memory
// would add traffic and save nothing. Forward, a lane's word i of its tile is its A fragment of k = 16 i ... For dx the
// reduction runs over the tile's rows: word w (the warp's) of four tiles, and each 8x8 block is transposed between
// lanes (movmatrix): 16 for a step and warp, where a detour through shared memory would write and read all weights.
//
// One step of a consumer:  wait for the box; fence; four products, one of 16 of k each; wait for those of the step before,
// whose box goes back; decode the next step's four fragments, while these are multiplied.
//
// What a step of 256 tokens takes, in clocks of an SM: tensor cores 1024; shared memory 512 for B, 256 for the box that
// arrives and 256 for the table; each scheduler issues for two warps, 140 instructions each forward and 225 for dx. Measured
// on an H200: 1370 and 1780, for which shared memory and its queue are the reason: half of the samples of a profile wait for
// a look-up. Instructions count, too, as a warp gets one in four or five clocks here. Looking weights up in registers
// (byte permutations, in the manner of a 16-entry table) takes no shared memory and twice the instructions: 10 % slower.
// Floor: 2 m n k / 790 TFLOP/s. L2: 32 KB of x and 4.5 KB of weights for each step and block.
//
// Sums begin with the adapter's product, then go over ascending k: the bits of product_bf16.cuh, as far as the two
// instructions round alike. The adapter's factors come as BF16 parts (adapter_parts.cuh), so that its steps are like the
// others. An adapter with dropout (dx) stays there: factors between the two products would need the sums in other registers,
// and there are no more.
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

// Counts the boxes that have gone through the ring: which place the next one has, and the parity of its phase there.
template <int Stages>
struct RingPlace {
    static_assert((Stages & (Stages - 1)) == 0, "a mask and a shift for each step");

    uint32_t count = 0;

    __device__ int stage() const { return static_cast<int>(count % Stages); }
    __device__ int stage_before() const { return static_cast<int>((count - 1) % Stages); }
    __device__ uint32_t parity() const { return count / Stages % 2; }
    __device__ void advance() { count++; }
};

// The weights of this warp, 16 features x 64 k in a step, by pairs of steps. A step has few instructions to spare, so what
// can be worked out once for a tile of c is, and rows and columns that are not there are taken for the last ones: what is
// multiplied by them is 0, or nobody wants it.
template <class T>
class WeightFragments {
    // Forward, the four lanes of a quad share the two scales of both steps. For dx, lane t has those of fragment t: two
    // for each step.
    static constexpr int own_scales = T::backward ? 4 : 1;

public:
    struct Pair {
        Vector<uint32_t, 4> codes[2];
        float scale[own_scales];  // while it is on its way, the absmax
        int code[own_scales];     // of the scale, with double quantization
    };

    __device__ WeightFragments(const Nf4View &weight, const DecodeTables &tables)
        : weight_(weight),
          tables_(tables),
          absmax_shift_(weight.absmax_shift - 6),
          block_shift_(weight.block_shift - 6),
          nested_(weight.absmax8 != nullptr),
          offset_(nested_ ? *weight.nested_offset : 0),
          last_row_(static_cast<uint32_t>(weight.rows) - 1),
          tile_cols_(static_cast<uint32_t>(weight.tile_cols)) {}

    // Fetches come from a pair of steps on.
    __device__ void begin(int64_t feature0, int pair) {
        const auto feature = static_cast<uint32_t>(feature0) + static_cast<uint32_t>(warp_id() * 16);
        if constexpr (T::backward) {
            at_ = static_cast<uint32_t>(pair) * (2 * T::fragments);
            tile_col_ = smaller(feature / nf4_tile_cols, tile_cols_ - 1);
            codes_from_ =
                weight_.codes + tile_col_ * nf4_tile_bytes + lane_id() * 16 + feature % nf4_tile_cols / 16 * 4;
        } else {
            const uint32_t tile_row = smaller(feature, last_row_) / nf4_tile_rows;
            const uint32_t row = smaller(tile_row * nf4_tile_rows + lane_id() / 4 + lane_id() % 2 * 8, last_row_);
            at_ = static_cast<uint32_t>(pair) * 2 + lane_id() / 2 % 2;
            blocks_ = row * tile_cols_;
            codes_from_ = weight_.tile(tile_row, int64_t{pair} * 2) + lane_id() * 16;
        }
    }

    // Asks for the weights of the next two steps.
    __device__ void fetch(Pair &pair) {
        if constexpr (T::backward) {
#pragma unroll
            for (int step = 0; step < 2; step++) {
                // Fragment i is of tile row 4 step + i.
#pragma unroll
                for (int i = 0; i < T::fragments; i++) {
                    const uint32_t tile_row = smaller(at_ + i, last_row_ / nf4_tile_rows);
                    pair.codes[step].v[i] =
                        load_global<uint32_t>(codes_from_ + uint64_t{tile_row} * (tile_cols_ * nf4_tile_bytes));
                }
                const uint32_t row = (at_ + lane_id() % 4) * nf4_tile_rows + lane_id() / 4;
#pragma unroll
                for (int half = 0; half < 2; half++)
                    fetch_scale(pair, 2 * step + half, smaller(row + 8 * half, last_row_) * tile_cols_ + tile_col_);
                at_ += T::fragments;
            }
        } else {
            // Lanes t = 0 and 1 of a quad fetch the scales of rows g and g + 8 in the first step, 2 and 3 in the second.
            fetch_scale(pair, 0, blocks_ + smaller(at_, tile_cols_ - 1));
            pair.codes[0] = load_global<Vector<uint32_t, 4>>(codes_from_);
            const bool is_last = (at_ | 1) == tile_cols_;
            pair.codes[1] = load_global<Vector<uint32_t, 4>>(codes_from_ + (is_last ? 0 : nf4_tile_bytes));
            codes_from_ += 2 * nf4_tile_bytes;
            at_ += 2;
        }
    }

    // They have come.
    __device__ void finish(Pair &pair) const {
#pragma unroll
        for (int i = 0; i < own_scales; i++) {
            const float nested = tables_.nested(pair.code[i]) * pair.scale[i] + offset_;
            if (nested_) pair.scale[i] = nested;
        }
    }

    // Fragment i is of k = 16 i ... of the step, pair by pair in the order of the bytes.
    __device__ void decode(const Pair &pair, int step, WgmmaFragment (&a)[T::fragments]) const {
        float scales[2];
        if constexpr (!T::backward) {
#pragma unroll
            for (int half = 0; half < 2; half++) scales[half] = from_quad(pair.scale[0], 2 * step + half);
        }
#pragma unroll
        for (int i = 0; i < T::fragments; i++) {
            if constexpr (T::backward) {
#pragma unroll
                for (int half = 0; half < 2; half++) scales[half] = from_quad(pair.scale[2 * step + half], i);
            }
#pragma unroll
            for (int byte = 0; byte < 4; byte++) {
                const uint32_t weights = tables_.weights(pair.codes[step].v[i], byte, scales[byte % 2]);
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
    __device__ static float from_quad(float own, int lane) { return shuffle(own, lane_id() / 4 * 4 + lane); }

    // Of a block of 64 weights.
    __device__ void fetch_scale(Pair &pair, int i, uint32_t block64) const {
        pair.scale[i] = load_global<float>(weight_.absmax + (block64 >> absmax_shift_));
        pair.code[i] = nested_ ? load_global<uint8_t>(weight_.absmax8 + (block64 >> block_shift_)) : 0;
    }

    const Nf4View &weight_;
    DecodeTables tables_;
    int absmax_shift_, block_shift_;  // from blocks of 64 weights
    bool nested_;
    float offset_;
    uint32_t last_row_, tile_cols_;
    const uint8_t *codes_from_;
    uint32_t at_;        // forward: the next column of tiles, for dx row of tiles. Of this lane's scale
    uint32_t blocks_;    // forward: up to the row of this lane's scale
    uint32_t tile_col_;  // for dx
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
          main_pairs_(static_cast<int>(ceil_div(p.main.k, 2 * bf16_depth))),
          ring_(arena.take<bf16>(T::stages * T::box)),
          first_tile_(wgmma_descriptor(ring_.address(0))),
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

    // A tile of c, with all of k or one of its splits.
    struct Share {
        int64_t feature0, token0, split;
        int first, end;  // pairs of steps
    };

    // Those of the first split come first, and of them those of the same tokens: blocks that run together share x.
    __device__ Share share(int64_t i) const {
        const int64_t across = ceil_div(p_.n, T::features), tiles = across * ceil_div(p_.m, T::tokens);
        const int64_t split = i / tiles, tile = i % tiles;
        return {tile % across * T::features, tile / across * T::tokens, split,
                static_cast<int>(main_pairs_ * split / p_.splits),
                static_cast<int>(main_pairs_ * (split + 1) / p_.splits)};
    }
    __device__ int64_t shares() const { return ceil_div(p_.n, T::features) * ceil_div(p_.m, T::tokens) * p_.splits; }

    // Those of this block, in the same order for producer and consumers.
    template <class Body>
    __device__ void for_each_share(const Body &body) const {
        const int64_t count = shares();
        for (int64_t i = block_id(); i < count; i += grid_blocks()) body(share(i));
    }

    __device__ void produce(const TensorMap &left, const TensorMap &adapter_tokens) const {
        RingPlace<T::stages> at;
        for_each_share([&](const Share &share) {
            const int adapter_steps = share.split == 0 ? adapter_steps_ : 0, before = 2 * share.first - adapter_steps;
            for (int step = 0; step + before < 2 * share.end; step++) {
                const bool of_adapter = step < adapter_steps;
                wait(empty(at.stage()), at.parity() ^ 1);  // at once in the first round
                arrive_expecting(full(at.stage()), T::box_bytes);
                copy_box(ring_.address(at.stage() * T::box), of_adapter ? adapter_tokens : left,
                         static_cast<int>(share.token0), (of_adapter ? step : step + before) * bf16_depth,
                         full(at.stage()));
                at.advance();
            }
        });
    }

    __device__ void consume() const {
        RingPlace<T::stages> at;
        Fragments even, odd;
        Weights weights(*this, even);
        for_each_share([&](const Share &share) {
            Sums sums;
            sums.clear();
            if (adapter_steps_ > 0 && share.split == 0) add_adapter(share.feature0, odd, at, sums);
            add_main(weights, share.end - share.first, even, odd, at, sums);
            HopperResults(p_, share.feature0 + warp_id() * 16, share.token0, share.split).store(sums);
        });
    }

    // The weights of this block's shares, one after the other.
    class Weights {
    public:
        __device__ Weights(const HopperProduct &of, Fragments &first)
            : of_(of), fragments_(of.p_.main.right.nf4, of.tables_), share_(block_id()) {
            begin();
            fetch();
            next_ = ahead_;
            decode_even(first);
            fetch();
        }

        // Takes those of the next pair of steps, and asks for the pair behind it.
        __device__ void advance() {
            next_ = ahead_;
            fetch();
        }
        // Of the next pair, the first step.
        __device__ void decode_even(Fragments &a) {
            fragments_.finish(next_);
            fragments_.decode(next_, 0, a);
            now_ = next_;
        }
        // The second step of the pair that it was the first of.
        __device__ void decode_odd(Fragments &a) const { fragments_.decode(now_, 1, a); }

    private:
        __device__ void begin() {
            const Share share = of_.share(share_);
            fragments_.begin(share.feature0, share.first);
            left_ = share.end - share.first;
        }

        // Behind the last share there are weights that nobody will want: its own again.
        __device__ void fetch() {
            if (left_ == 0) {
                if (share_ + grid_blocks() < of_.shares()) share_ += grid_blocks();
                begin();
            }
            fragments_.fetch(ahead_);
            left_--;
        }

        const HopperProduct &of_;
        WeightFragments<T> fragments_;
        typename WeightFragments<T>::Pair now_, next_, ahead_;
        int64_t share_;  // whose weights are fetched
        int left_;       // pairs of it
    };

    // While a step is multiplied, the fragments of the next one are decoded: behind the last, the next share's first.
    __device__ void add_main(Weights &weights, int pairs, Fragments &even, Fragments &odd, RingPlace<T::stages> &at,
                             Sums &sums) const {
        hold(sums);
        for (int pair = 0; pair < pairs; pair++) {
            weights.advance();
            multiply(sums, even, at);
            if (pair > 0) release_before(at);
            at.advance();
            weights.decode_odd(odd);
            multiply(sums, odd, at);
            release_before(at);
            at.advance();
            weights.decode_even(even);
        }
        wgmma_wait<0>();
        release_before(at);
        hold(sums);
    }

    // Few steps, and a loop of their own: a wait for fragments that are loaded would be one for the weights, too.
    __device__ void add_adapter(int64_t feature0, Fragments &a, RingPlace<T::stages> &at, Sums &sums) const {
        hold(sums);
        int step = 0;
        do {  // not `for`: ptxas makes products wait for each other where it cannot see that there is one
            load_adapter(feature0, step, a);
            multiply(sums, a, at);
            at.advance();
            wgmma_wait<0>();
            release_before(at);
        } while (++step < adapter_steps_);
        hold(sums);
    }

    // Begins the next step's products, and waits for those of the step before: its box and fragments are free then.
    __device__ void multiply(Sums &sums, Fragments &a, const RingPlace<T::stages> &at) const {
        const uint64_t tile = first_tile_ + static_cast<uint32_t>(at.stage() * (T::box_bytes >> 4));
        wait(full(at.stage()), at.parity());
        wgmma_fence(a);
#pragma unroll
        for (int i = 0; i < T::fragments; i++) wgmma_bf16(sums, a[i], tile + wgmma_descriptor_k16 * i);
        wgmma_commit();
        wgmma_wait<1>();
    }

    __device__ void release_before(const RingPlace<T::stages> &at) const {
        if (lane_id() == 0) arrive(empty(at.stage_before()));
    }

    __device__ void load_adapter(int64_t feature0, int step, Fragments &a) const {
        const int64_t feature = feature0 + warp_id() * AdapterParts::feature_rows;
        const bf16 *from =
            adapter_.features + feature * adapter_.depth + (step * T::fragments * warp_size + lane_id()) * 8;
        const bool there = feature < p_.n;
#pragma unroll
        for (int i = 0; i < T::fragments; i++) {
            Vector<uint32_t, 4> registers = {};
            if (there) registers = load_global<Vector<uint32_t, 4>>(from + i * warp_size * 8);
#pragma unroll
            for (int r = 0; r < 4; r++) a[i].set(r, registers.v[r]);
        }
    }

    const Product &p_;
    const AdapterParts &adapter_;
    int adapter_steps_;
    int main_pairs_;  // of steps; where they are odd, the last one multiplies by 0
    Shared<bf16> ring_;
    uint64_t first_tile_;  // of the ring, as wgmma takes it
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
