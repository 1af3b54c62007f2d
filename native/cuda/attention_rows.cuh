// Rows of one head on their way between memory, shared memory and tensor cores, for the BF16 attention kernels.
//
// A row has D columns, of which the head fills head_dim, the rest being 0, in lines of 64 elements: 128 bytes, all 32
// banks, eight chunks of 16 bytes. Chunk c of row r stands at c ^ r % 8:
//
//   row 0   0 1 2 3 4 5 6 7 | 8 9 ...      eight lanes that copy a line meet all banks, and so do the eight rows of a
//   row 1   1 0 3 2 5 4 7 6 | 9 8 ...      matrix that ldmatrix reads, each at the same chunk: neither has a conflict
//   row 2   2 3 0 1 6 7 4 5 | ...
#pragma once

#include "cuda/attention.cuh"
#include "cuda/bf16_tile.cuh"

namespace nf4j::cuda {

// A tensor whose rows have the heads of one token one after the other.
struct HeadMatrix {
    bf16 *data;
    int64_t ld;
    int head_dim;
    bool aligned;  // 16-byte copies can fetch it
};

// Rows of queries of one key-value head: query after query, for each the heads of the group.
struct QueryRows {
    int64_t q_begin;  // of the sequence
    int first;        // row 0 of the tile, within the sequence
    int end;          // of the sequence
    int group;
    int kv_head;

    __device__ QueryRows(const AttentionProblem &p, const AttentionTile &tile, int first_row, int head)
        : q_begin(tile.q_begin), first(first_row), end(tile.queries * p.group), group(p.group), kv_head(head) {}
    __device__ bool inside(int row) const { return first + row < end; }
    // The query of a row, or the sequence's last.
    __device__ int query(int row) const { return (inside(row) ? first + row : end - 1) / group; }
    __device__ int64_t token(int row) const { return q_begin + query(row); }
    __device__ int head(int row) const { return kv_head * group + (first + row) % group; }
    // Where in a matrix the row begins; -1 behind the end.
    __device__ int64_t element(int row, const HeadMatrix &x) const {
        return inside(row) ? token(row) * x.ld + int64_t{head(row)} * x.head_dim : -1;
    }
};

// Rows of keys or values of one head.
struct KeyRows {
    int64_t kv_begin;
    int first;
    int end;
    int kv_head;

    __device__ KeyRows(const AttentionTile &tile, int first_row, int head)
        : kv_begin(tile.kv_begin), first(first_row), end(tile.keys), kv_head(head) {}
    __device__ bool inside(int row) const { return first + row < end; }
    __device__ int64_t element(int row, const HeadMatrix &x) const {
        return inside(row) ? (kv_begin + first + row) * x.ld + int64_t{kv_head} * x.head_dim : -1;
    }
};

// Count rows in shared memory, which Threads threads fill.
template <int D, int Count, int Threads>
class HeadRows {
public:
    static_assert(D % 16 == 0 && Threads % 64 == 0 && Count % (Threads / 8) == 0);
    static constexpr int pitch = static_cast<int>(ceil_div(D, 64)) * 64;
    static constexpr int elements = Count * pitch;
    static constexpr int64_t bytes = SharedArena::bytes_of(elements * 2);

    __device__ explicit HeadRows(SharedArena &arena, int stages = 1) : rows_(arena.take<bf16>(stages * elements)) {}
    __device__ HeadRows stage(int number) const { return HeadRows(rows_.template as<bf16>(number * elements)); }

    // Starts copies of all rows; those behind the end become zeros.
    template <class Rows>
    __device__ void fetch(const HeadMatrix &from, const Rows &rows) const {
        if (!from.aligned) return load_elements(from, rows);
        const int lane = thread_id() % 8, to = thread_id() / 8 * pitch + (lane ^ thread_id() / 8 % 8) * 8;
#pragma unroll
        for (int step = 0; step < Count / (Threads / 8); step++) {
            const int64_t begin = rows.element(thread_id() / 8 + step * (Threads / 8), from);
#pragma unroll
            for (int line = 0; line < pitch / 64; line++) {
                const bool inside = begin >= 0 && 64 * line + 8 * lane < from.head_dim;
                copy_async_16(rows_.address(to + step * (Threads / 8) * pitch + 64 * line),
                              from.data + (inside ? begin + 64 * line + 8 * lane : 0), inside ? 16 : 0);
            }
        }
    }

    // Writes the warp's rows first ... first + count - 1 to memory.
    template <class Rows>
    __device__ void put(const HeadMatrix &to, const Rows &rows, int first, int count) const {
        for (int row = first + lane_id() / 8; row < first + count; row += warp_size / 8) {
            const int64_t begin = rows.element(row, to);
            if (begin < 0) continue;
#pragma unroll
            for (int chunk = lane_id() % 8; chunk < D / 8; chunk += 8) {
                if (8 * chunk >= to.head_dim) continue;
                const Vector<bf16, 8> values = rows_.template load<8>(swizzled<pitch>(row, 8 * chunk));
                bf16 *target = to.data + begin + 8 * chunk;
                if (to.aligned) {
                    store_global(target, values);
                } else {
#pragma unroll
                    for (int e = 0; e < 8; e++) {
                        if (8 * chunk + e < to.head_dim) store_global(target + e, values.v[e]);
                    }
                }
            }
        }
    }

    // Elements col and col + 1 of a row.
    __device__ void store_pair(int row, int col, float low, float high) const {
        rows_.template as<uint32_t>(swizzled<pitch>(row, col)).store(0, pack_bf16(low, high));
    }

    // The A fragment of rows row ... + 15 and columns 16 k16 ... + 15. `row` is a multiple of 8 here and below.
    __device__ void left(uint32_t (&a)[4], int row, int k16) const {
        load_matrices(a, address(lane_id() % 16, lane_id() / 16, row, k16));
    }

    // The B fragments, two registers each, of the transposed rows row ... + 7 and row + 8 ... + 15, columns
    // 16 k16 ... + 15: for products with rows.
    __device__ void right_rows(uint32_t (&b)[4], int row, int k16) const {
        load_matrices(b, address(lane_id() / 16 * 8 + lane_id() % 8, lane_id() / 8 % 2, row, k16));
    }

    // The B fragments of rows row ... + 15, columns 16 n16 ... + 7 and 16 n16 + 8 ... + 15: for sums of rows.
    __device__ void right_sums(uint32_t (&b)[4], int row, int n16) const {
        load_matrices_transposed(b, address(lane_id() % 16, lane_id() / 16, row, n16));
    }

private:
    __device__ explicit HeadRows(Shared<bf16> rows) : rows_(rows) {}

    // Chunk 2 x16 + lane_chunk of row `row` + lane_row. What belongs to the lane is computed once, and the exchange of
    // chunks is one exclusive or: a line begins at a multiple of 128 bytes.
    __device__ SharedAddress address(int lane_row, int lane_chunk, int row, int x16) const {
        const SharedAddress lane = rows_.address(lane_row * pitch + (lane_chunk ^ lane_row % 8) * 8);
        return {(lane.value ^ static_cast<uint32_t>(x16 % 4 * 32)) +
                static_cast<uint32_t>((row * pitch + x16 / 4 * 64) * 2)};
    }

    template <class Rows>
    __device__ void load_elements(const HeadMatrix &from, const Rows &rows) const {
        for (int i = thread_id(); i < Count * (pitch / 8); i += Threads) {
            const int row = i / (pitch / 8), col = i % (pitch / 8) * 8;
            const int64_t begin = rows.element(row, from);
            const int count = begin < 0 ? 0 : from.head_dim - col;
            Vector<bf16, 8> values;
#pragma unroll
            for (int e = 0; e < 8; e++)
                values.v[e] = e < count ? load_global<bf16>(from.data + begin + col + e) : bf16{0};
            rows_.template store<8>(swizzled<pitch>(row, col), values);
        }
    }

    Shared<bf16> rows_;
};

}  // namespace nf4j::cuda
