// One factor of product_bf16.cuh on its way through shared memory: copied, decoded from NF4, or converted element by
// element.
//
// All go through the steps of k in order, from the one that begin() names. issue() starts the load of the next step that has none; ready(), once the
// copies of a step have landed, makes it readable behind a barrier; the fragments are those of the step until next().
// Whatever does not change from step to step is worked out once: a step has few instructions to spare beside its
// products.
#pragma once

#include "cuda/bf16_tile.cuh"

namespace nf4j::cuda {

// Goes round `Count` buffers of `Size` elements.
template <int Count, int Size>
class Ring {
public:
    __device__ int at() const { return at_; }
    __device__ void next() { at_ = at_ == (Count - 1) * Size ? 0 : at_ + Size; }

private:
    int at_ = 0;
};

// Fragments of a tile of `Outer` x 64 elements in shared memory, [outer][64] or, by columns, [64][outer].
template <Load load, int Outer>
struct TileFragments {
    static constexpr int pitch = is_by_columns(load) ? Outer : bf16_depth;

    // The A fragment of rows row ... + 15 and columns 16 k16 ... + 15.
    __device__ static void left(uint32_t (&a)[4], const Shared<bf16> &tile, int at, int row, int k16) {
        const int lane = lane_id();
        if constexpr (is_by_columns(load)) {
            const int element = swizzled<pitch>(k16 * 16 + lane / 16 * 8 + lane % 8, row + lane / 8 % 2 * 8);
            load_matrices_transposed(a, tile.address(at + element));
        } else {
            load_matrices(a, tile.address(at + swizzled<pitch>(row + lane % 16, k16 * 16 + lane / 16 * 8)));
        }
    }

    // The B fragments of columns col ... + 7 and col + 8 ... + 15, two registers each.
    __device__ static void right(uint32_t (&b)[4], const Shared<bf16> &tile, int at, int col, int k16) {
        const int lane = lane_id();
        if constexpr (is_by_columns(load)) {
            const int element = swizzled<pitch>(k16 * 16 + lane % 16, col + lane / 16 * 8);
            load_matrices_transposed(b, tile.address(at + element));
        } else {
            const int element = swizzled<pitch>(col + lane / 16 * 8 + lane % 8, k16 * 16 + lane / 8 % 2 * 8);
            load_matrices(b, tile.address(at + element));
        }
    }
};

// Copied: BF16 whose rows begin at multiples of 16 bytes. A thread has the same chunk of 8 elements in every step, of
// rows that lie `rows_apart` from each other.
template <Load load, int Outer, int Threads, int Stages>
class Factor {
public:
    static constexpr int elements = Outer * bf16_depth;

    static constexpr int64_t shared_bytes() { return SharedArena::bytes_of(Stages * elements * 2); }

    __device__ Factor(const Operand &x, int64_t outer0, const Parts &parts, uint32_t, SharedArena &arena)
        : tiles_(arena.take<bf16>(Stages * elements)) {
        const int row = thread_id() / chunks, col = thread_id() % chunks * 8;
        const int64_t first_row = (by_columns ? 0 : outer0) + row, first_col = (by_columns ? outer0 : 0) + col;
        from_ = static_cast<const bf16 *>(x.data) + first_row * x.ld + first_col;
        next_row_ = rows_apart * x.ld;
        next_step_ = by_columns ? bf16_depth * x.ld : bf16_depth;
        rows_left_ = clamped((by_columns ? parts.k : x.outer) - first_row);
        cols_left_ = clamped((by_columns ? x.outer : parts.k) - first_col);
        to_ = swizzled<pitch>(row, col);
    }

    __device__ void begin(int64_t first) {
        from_ += first * next_step_;
        (by_columns ? rows_left_ : cols_left_) -= static_cast<int>(first) * bf16_depth;
    }

    // What lies behind the last row or column becomes 0.
    __device__ void issue() {
        const int source = cols_left_ >= 8 ? 16 : cols_left_ > 0 ? static_cast<int>(cols_left_) * 2 : 0;
#pragma unroll
        for (int i = 0; i < rows; i++) {
            copy_async_16(tiles_.address(write_.at() + to_ + i * rows_apart * pitch), from_ + i * next_row_,
                          i * rows_apart < rows_left_ ? source : 0);
        }
        from_ += next_step_;
        (by_columns ? rows_left_ : cols_left_) -= bf16_depth;
        write_.next();
    }

    __device__ void ready() {}

    __device__ void left_fragment(uint32_t (&a)[4], int row, int k16) const {
        TileFragments<load, Outer>::left(a, tiles_, read_.at(), row, k16);
    }
    __device__ void right_fragments(uint32_t (&b)[4], int col, int k16) const {
        TileFragments<load, Outer>::right(b, tiles_, read_.at(), col, k16);
    }

    __device__ void next() { read_.next(); }

private:
    static constexpr bool by_columns = is_by_columns(load);
    static constexpr int pitch = TileFragments<load, Outer>::pitch;
    static constexpr int chunks = pitch / 8;
    static constexpr int rows_apart = Threads / chunks;
    static constexpr int rows = elements / pitch / rows_apart;
    static_assert(rows_apart % 8 == 0, "all rows of a thread are swizzled alike");

    // How many there are, as far as a block can use them.
    __device__ static int clamped(int64_t count) { return static_cast<int>(count < INT32_MAX ? count : INT32_MAX); }

    Shared<bf16> tiles_;
    const bf16 *from_;
    int64_t next_row_;
    int64_t next_step_;
    int rows_left_;
    int cols_left_;
    int to_;
    Ring<Stages, elements> write_, read_;
};

// Decoded: each warp copies a tile of 16x64 codes a step, and decodes what its own lanes copied.
template <Load load, int Outer, int Threads, int Stages>
class Nf4Factor {
public:
    static constexpr int elements = Outer * bf16_depth;
    static_assert(elements == Threads * 32, "a warp decodes one tile of 16x64");

    static constexpr int64_t shared_bytes() {
        return SharedArena::bytes_of(2 * elements * 2) + SharedArena::bytes_of(Stages * code_words * 4) +
               SharedArena::bytes_of(table_entries * 4) + SharedArena::bytes_of(nested_entries * 4);
    }

    __device__ Nf4Factor(const Operand &x, int64_t outer0, const Parts &parts, uint32_t, SharedArena &arena)
        : weight_(x.nf4),
          steps_(static_cast<int>(parts.stride / bf16_depth)),
          tiles_(arena.take<bf16>(2 * elements)),
          codes_(arena.take<uint32_t>(Stages * code_words)),
          table_(arena.take<float>(table_entries)),
          nested_(arena.take<float>(nested_entries)) {
        const int w = warp_id();
        // The step gives the other coordinate.
        if constexpr (by_columns) {
            tile_ = {w % tiles_deep, static_cast<int>(outer0 / nf4_tile_cols) + w / tiles_deep};
            row_ = w % tiles_deep * nf4_tile_rows;
            col_ = w / tiles_deep * nf4_tile_cols;
        } else {
            tile_ = {static_cast<int>(outer0 / nf4_tile_rows) + w, 0};
            row_ = w * nf4_tile_rows;
            col_ = 0;
        }
    }

    // Before a barrier.
    __device__ void begin(int64_t first) {
        copied_ = scaled_ = static_cast<int>(first % steps_);
        // One copy of the 16 values for each lane: no two lanes meet in a bank.
        for (int i = thread_id(); i < table_entries; i += Threads) table_.store(i, weight_.quant_map[i / warp_size]);
        if (weight_.absmax8) {
            for (int i = thread_id(); i < nested_entries; i += Threads) nested_.store(i, weight_.nested_map[i]);
            nested_offset_ = *weight_.nested_offset;
        }
        fetch_scales();
    }

    __device__ void issue() {
        const Tile16x64 at = tile_of(copied_);
        const bool inside = at.row * nf4_tile_rows < weight_.rows && at.col < weight_.tile_cols;
        const uint8_t *from = inside ? weight_.tile(at.row, at.col) + lane_id() * 16 : weight_.codes;
        copy_async_16(codes_.address(write_.at() + thread_id() * 4), from, inside ? 16 : 0);
        advance(copied_);
        write_.next();
    }

    // 16x64 weights: round(code * scale), pair by pair in the order of the bytes.
    __device__ void ready() {
        const Vector<uint32_t, 4> words = codes_.template load<4>(codes_read_.at() + thread_id() * 4);
        const float scale[2] = {finished(scales_[0]), finished(scales_[1])};
#pragma unroll
        for (int word = 0; word < 4; word++) {
#pragma unroll
            for (int byte = 0; byte < 4; byte++) {
                const int row = lane_id() / 4 + byte % 2 * 8, col = word * 16 + byte / 2 * 8 + lane_id() % 4 * 2;
                const float even = value(words.v[word], 2 * byte + 1), odd = value(words.v[word], 2 * byte);
                tiles_.template as<uint32_t>(decoded_.at() + swizzled<pitch>(row_ + row, col_ + col))
                    .store(0, pack_bf16(even * scale[byte % 2], odd * scale[byte % 2]));
            }
        }
        codes_read_.next();
        fetch_scales();
    }

    __device__ void left_fragment(uint32_t (&a)[4], int row, int k16) const {
        TileFragments<load, Outer>::left(a, tiles_, decoded_.at(), row, k16);
    }
    __device__ void right_fragments(uint32_t (&b)[4], int col, int k16) const {
        TileFragments<load, Outer>::right(b, tiles_, decoded_.at(), col, k16);
    }

    __device__ void next() { decoded_.next(); }

private:
    static constexpr bool by_columns = is_by_columns(load);
    static constexpr int pitch = TileFragments<load, Outer>::pitch;
    static constexpr int tiles_deep = bf16_depth / nf4_tile_rows;  // by columns: tiles of a step, one below the other
    static constexpr int code_words = elements / 8;
    static constexpr int table_entries = 16 * warp_size;
    static constexpr int nested_entries = 256;

    struct Tile16x64 {
        int row;
        int col;
    };

    // What there is of a scale while its parts are on their way.
    struct Scale {
        float absmax;  // or, with double quantization, the absmax of the group
        int code;
    };

    __device__ Tile16x64 tile_of(int step) const {
        return by_columns ? Tile16x64{tile_.row + step * tiles_deep, tile_.col} : Tile16x64{tile_.row, step};
    }

    // Part products go through the same elements again.
    __device__ void advance(int &step) const { step = step + 1 == steps_ ? 0 : step + 1; }

    // The scales of this lane's two rows in the next step to be decoded, asked for one step ahead.
    __device__ void fetch_scales() {
        const Tile16x64 at = tile_of(scaled_);
        const int row = at.row * nf4_tile_rows + lane_id() / 4, col = at.col * nf4_tile_cols;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            scales_[i] = {0, 0};
            if (row + 8 * i >= weight_.rows || col >= weight_.cols) continue;
            const int64_t block = (int64_t{row + 8 * i} * weight_.cols + col) >> weight_.block_shift;
            if (weight_.absmax32) {
                scales_[i].absmax = weight_.absmax32[block];
            } else {
                scales_[i] = {weight_.nested_absmax[block / nested_block_size], weight_.absmax8[block]};
            }
        }
        advance(scaled_);
    }

    // As Nf4View::scale.
    __device__ float finished(const Scale &scale) const {
        if (weight_.absmax32) return scale.absmax;
        return nested_.load(scale.code) * scale.absmax + nested_offset_;
    }

    // The value of nibble number i of a word.
    __device__ float value(uint32_t word, int i) const {
        return table_.load(static_cast<int>((word >> (4 * i) & 15) * warp_size | static_cast<uint32_t>(lane_id())));
    }

    const Nf4View &weight_;
    int steps_;
    Shared<bf16> tiles_;  // the step that is being read, and the next one
    Shared<uint32_t> codes_;
    Shared<float> table_, nested_;
    Tile16x64 tile_;
    int row_, col_;                // where this warp's tile is in that of the factor
    int copied_ = 0, scaled_ = 0;  // steps whose codes and whose scales are on their way
    Scale scales_[2];
    float nested_offset_ = 0;
    Ring<Stages, code_words> write_, codes_read_;
    Ring<2, elements> decoded_;
};

template <int Outer, int Threads, int Stages>
class Factor<Load::nf4_rows, Outer, Threads, Stages> : public Nf4Factor<Load::nf4_rows, Outer, Threads, Stages> {
public:
    using Nf4Factor<Load::nf4_rows, Outer, Threads, Stages>::Nf4Factor;
};

template <int Outer, int Threads, int Stages>
class Factor<Load::nf4_columns, Outer, Threads, Stages> : public Nf4Factor<Load::nf4_columns, Outer, Threads, Stages> {
public:
    using Nf4Factor<Load::nf4_columns, Outer, Threads, Stages>::Nf4Factor;
};

// Converted: anything, four elements at a time along the rows of memory, which the tile keeps: [outer][64], or [64][outer]
// where k goes down the columns.
template <int Outer, int Threads, int Stages>
class Factor<Load::elements, Outer, Threads, Stages> {
public:
    static constexpr int elements = Outer * bf16_depth;

    static constexpr int64_t shared_bytes() { return SharedArena::bytes_of(Stages * elements * 2); }

    __device__ Factor(const Operand &x, int64_t outer0, const Parts &parts, uint32_t part_digits, SharedArena &arena)
        : x_(x),
          outer0_(outer0),
          parts_(parts),
          part_digits_(part_digits),
          tiles_(arena.take<bf16>(Stages * elements)) {}

    __device__ void begin(int64_t first) { k0_ = first * bf16_depth; }

    // k counts through the parts.
    __device__ void issue() {
        for (int i = thread_id(); i < elements / 4; i += Threads) {
            const int outer = x_.k_contiguous ? i / (bf16_depth / 4) : i % (Outer / 4) * 4;
            const int inner = x_.k_contiguous ? i % (bf16_depth / 4) * 4 : i / (Outer / 4);
            const int64_t o = outer0_ + outer;
            const auto product = static_cast<int>((k0_ + inner) / parts_.stride);
            const int64_t k = k0_ + inner - product * parts_.stride;
            Vector<bf16, 4> parts = {};
            if (product < parts_.count && k < parts_.k && o < x_.outer) {
                // One call: registers are short.
                const Vector<float, 4> quad = load_quad(x_, x_.k_contiguous ? o : k, x_.k_contiguous ? k : o,
                                                        x_.k_contiguous ? parts_.k : x_.outer);
                const int part = static_cast<int>(part_digits_ >> (4 * product) & 15);
#pragma unroll
                for (int e = 0; e < 4; e++) parts.v[e] = bf16_part(quad.v[e], part);
            }
            const int at = x_.k_contiguous ? swizzled<bf16_depth>(outer, inner) : swizzled<Outer>(inner, outer);
            tiles_.store(write_.at() + at, parts);
        }
        k0_ += bf16_depth;
        write_.next();
    }

    __device__ void ready() {}

    __device__ void left_fragment(uint32_t (&a)[4], int row, int k16) const {
        if (x_.k_contiguous)
            TileFragments<Load::rows, Outer>::left(a, tiles_, read_.at(), row, k16);
        else
            TileFragments<Load::columns, Outer>::left(a, tiles_, read_.at(), row, k16);
    }
    __device__ void right_fragments(uint32_t (&b)[4], int col, int k16) const {
        if (x_.k_contiguous)
            TileFragments<Load::rows, Outer>::right(b, tiles_, read_.at(), col, k16);
        else
            TileFragments<Load::columns, Outer>::right(b, tiles_, read_.at(), col, k16);
    }

    __device__ void next() { read_.next(); }

private:
    const Operand &x_;
    int64_t outer0_;
    const Parts &parts_;
    uint32_t part_digits_;
    Shared<bf16> tiles_;
    int64_t k0_ = 0;
    Ring<Stages, elements> write_, read_;
};

}  // namespace nf4j::cuda
