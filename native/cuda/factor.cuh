// One factor of product_bf16.cuh on its way through shared memory.
#pragma once

#include "cuda/bf16_tile.cuh"

namespace nf4j::cuda {

// `Outer` rows or columns of a factor, `Threads` threads that load them.
template <Load load, int Outer, int Threads, int Stages>
class Factor {
public:
    static constexpr int elements = Outer * bf16_depth;
    static constexpr int pitch = is_by_columns(load) ? Outer : bf16_depth;
    static constexpr int tiles = is_nf4(load) ? 2 : Stages;  // decoded, the next one; or all stages
    static constexpr int code_words = elements / 8;
    static constexpr int table_entries = is_nf4(load) ? 16 * warp_size : 0;
    static_assert(!is_nf4(load) || elements == Threads * 32, "a warp decodes one tile of 16x64");

    static constexpr int64_t shared_bytes() {
        return SharedArena::bytes_of(tiles * elements * 2) +
               (is_nf4(load) ? SharedArena::bytes_of(Stages * code_words * 4) : 0) +
               SharedArena::bytes_of(table_entries * 4);
    }

    __device__ Factor(const Operand &x, int64_t outer0, const Parts &parts, uint32_t part_digits, SharedArena &arena)
        : x_(x),
          outer0_(outer0),
          parts_(parts),
          part_digits_(part_digits),
          tiles_(arena.take<bf16>(tiles * elements)),
          codes_(arena.take<uint32_t>(is_nf4(load) ? Stages * code_words : 0)),
          table_(arena.take<float>(table_entries)) {}

    // Before the first step, and before a barrier.
    __device__ void begin() {
        if constexpr (is_nf4(load)) {
            // One copy of the 16 values for each lane: no two lanes meet in a bank.
            for (int i = thread_id(); i < table_entries; i += Threads) table_.store(i, x_.nf4.quant_map[i / warp_size]);
            fetch_scales(0);
        }
    }

    // Starts the load of a step.
    __device__ void issue(int64_t step) {
        const int stage = static_cast<int>(step % Stages);
        if constexpr (load == Load::rows) {
            copy_rows(step_of_k(step) * bf16_depth, stage * elements);
        } else if constexpr (load == Load::columns) {
            copy_columns(step_of_k(step) * bf16_depth, stage * elements);
        } else if constexpr (load == Load::elements) {
            convert(step * bf16_depth, stage * elements);
        } else {
            copy_codes(step, stage * code_words);
        }
    }

    // After the copies of the step have landed, before the barrier.
    __device__ void ready(int64_t step) {
        if constexpr (is_nf4(load)) {
            decode(step);
            fetch_scales(step + 1);
        }
    }

    // The A fragment of rows row ... + 15 and columns 16 k16 ... + 15.
    __device__ void left_fragment(uint32_t (&a)[4], int64_t step, int row, int k16) const {
        load_matrices(a, address(step, row + lane_id() % 16, k16 * 16 + lane_id() / 16 * 8));
    }

    // The B fragments of columns col ... + 7 and col + 8 ... + 15, two registers each.
    __device__ void right_fragments(uint32_t (&b)[4], int64_t step, int col, int k16) const {
        if constexpr (is_by_columns(load)) {
            load_matrices_transposed(b, address(step, k16 * 16 + lane_id() % 16, col + lane_id() / 16 * 8));
        } else {
            load_matrices(b, address(step, col + lane_id() / 16 * 8 + lane_id() % 8, k16 * 16 + lane_id() / 8 % 2 * 8));
        }
    }

private:
    // This warp's tile of NF4 weights in a step.
    struct WeightTile {
        int64_t tile_row;
        int64_t tile_col;
        int row;  // in the tile of the factor
        int col;
    };

    __device__ WeightTile weight_tile(int64_t absolute_step) const {
        const int64_t step = step_of_k(absolute_step);
        const int w = warp_id();
        if constexpr (load == Load::nf4_rows) return {outer0_ / nf4_tile_rows + w, step, w * nf4_tile_rows, 0};
        constexpr int tiles_k = bf16_depth / nf4_tile_rows;
        return {step * tiles_k + w % tiles_k, outer0_ / nf4_tile_cols + w / tiles_k, w % tiles_k * nf4_tile_rows,
                w / tiles_k * nf4_tile_cols};
    }

    // The step of one of several part products that all have the same elements.
    __device__ int64_t step_of_k(int64_t step) const {
        return parts_.count == 1 ? step : step % (parts_.stride / bf16_depth);
    }

    __device__ SharedAddress address(int64_t step, int row, int col) const {
        return tiles_.address(static_cast<int>(step % tiles) * elements + swizzled<pitch>(row, col));
    }

    __device__ void copy_rows(int64_t k0, int to) const {
        constexpr int chunks = bf16_depth / 8;
#pragma unroll
        for (int i = thread_id(); i < Outer * chunks; i += Threads) {
            copy_chunk(to + swizzled<pitch>(i / chunks, i % chunks * 8), outer0_ + i / chunks, x_.outer,
                       k0 + i % chunks * 8, parts_.k);
        }
    }

    __device__ void copy_columns(int64_t k0, int to) const {
        constexpr int chunks = Outer / 8;
#pragma unroll
        for (int i = thread_id(); i < bf16_depth * chunks; i += Threads) {
            copy_chunk(to + swizzled<pitch>(i / chunks, i % chunks * 8), k0 + i / chunks, parts_.k,
                       outer0_ + i % chunks * 8, x_.outer);
        }
    }

    // Eight elements of a row; what lies at an end or behind it becomes 0.
    __device__ void copy_chunk(int to, int64_t row, int64_t row_end, int64_t col, int64_t col_end) const {
        const int64_t left = row < row_end ? col_end - col : 0;
        const int source = left >= 8 ? 16 : left > 0 ? static_cast<int>(left) * 2 : 0;
        const bf16 *data = static_cast<const bf16 *>(x_.data);
        copy_async_16(tiles_.address(to), source > 0 ? data + row * x_.ld + col : data, source);
    }

    __device__ void copy_codes(int64_t step, int to) const {
        const WeightTile at = weight_tile(step);
        const bool inside = at.tile_row * nf4_tile_rows < x_.nf4.rows && at.tile_col < x_.nf4.tile_cols;
        const uint8_t *from = inside ? x_.nf4.tile(at.tile_row, at.tile_col) + lane_id() * 16 : x_.nf4.codes;
        copy_async_16(codes_.address(to + thread_id() * 4), from, inside ? 16 : 0);
    }

    // The scales of this lane's two rows in a step, asked for one step ahead.
    __device__ void fetch_scales(int64_t step) {
        if (!x_.nf4.scale_per_row) return;
        const WeightTile at = weight_tile(step);
        const int64_t row = at.tile_row * nf4_tile_rows + lane_id() / 4, col = at.tile_col * nf4_tile_cols;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const bool inside = row + 8 * i < x_.nf4.rows && col < x_.nf4.cols;
            scales_[i] = inside ? x_.nf4.scale(row + 8 * i, col) : 0;
        }
    }

    // 16x64 weights: round(code * scale), pair by pair in the order of the bytes.
    __device__ void decode(int64_t step) const {
        const WeightTile at = weight_tile(step);
        const int to = static_cast<int>(step % tiles) * elements;
        const Vector<uint32_t, 4> words =
            codes_.template load<4>(static_cast<int>(step % Stages) * code_words + thread_id() * 4);
#pragma unroll
        for (int word = 0; word < 4; word++) {
#pragma unroll
            for (int byte = 0; byte < 4; byte++) {
                const int row = lane_id() / 4 + byte % 2 * 8, col = word * 16 + byte / 2 * 8 + lane_id() % 4 * 2;
                const uint32_t pair = words.v[word] >> (8 * byte);
                const float even = table_.load(static_cast<int>(pair >> 4 & 15) * warp_size + lane_id());
                const float odd = table_.load(static_cast<int>(pair & 15) * warp_size + lane_id());
                const int64_t weight_row = at.tile_row * nf4_tile_rows + row,
                              weight_col = at.tile_col * nf4_tile_cols + col;
                tiles_.template as<uint32_t>(to + swizzled<pitch>(at.row + row, at.col + col))
                    .store(0, pack_bf16(even * scale(byte % 2, weight_row, weight_col),
                                        odd * scale(byte % 2, weight_row, weight_col + 1)));
            }
        }
    }

    __device__ float scale(int which, int64_t row, int64_t col) const {
        if (x_.nf4.scale_per_row) return scales_[which];
        return row < x_.nf4.rows && col < x_.nf4.cols ? x_.nf4.scale(row, col) : 0;
    }

    // Four elements at a time along the rows of memory; k0 counts through the parts.
    __device__ void convert(int64_t k0, int to) const {
        for (int i = thread_id(); i < elements / 4; i += Threads) {
            const int outer = x_.k_contiguous ? i / (bf16_depth / 4) : i % (Outer / 4) * 4;
            const int inner = x_.k_contiguous ? i % (bf16_depth / 4) * 4 : i / (Outer / 4);
            const int64_t o = outer0_ + outer;
            const auto product = static_cast<int>((k0 + inner) / parts_.stride);
            const int64_t k = k0 + inner - product * parts_.stride;
            Vector<float, 4> quad = {};
            if (product < parts_.count && k < parts_.k && o < x_.outer) {
                quad = x_.k_contiguous ? load_quad(x_, o, k, parts_.k) : load_quad(x_, k, o, x_.outer);
            }
            const int part = static_cast<int>(part_digits_ >> (4 * product) & 15);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int row = x_.k_contiguous ? outer : outer + e, col = x_.k_contiguous ? inner + e : inner;
                tiles_.store(to + swizzled<pitch>(row, col), bf16_part(quad.v[e], part));
            }
        }
    }

    const Operand &x_;
    int64_t outer0_;
    const Parts &parts_;
    uint32_t part_digits_;
    Shared<bf16> tiles_;
    Shared<uint32_t> codes_;
    Shared<float> table_;
    float scales_[2] = {};
};

}  // namespace nf4j::cuda
