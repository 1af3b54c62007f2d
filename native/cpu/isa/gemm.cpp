#include "cpu/isa/gemm.h"

#include "cpu/isa/dropout.h"
#include "cpu/isa/micro_kernel.h"
#include "cpu/isa/nf4_matrix.h"
#include "cpu/isa/tiles.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Block of the sums that one task computes at a time: the sums and the left panels stay in L2, a right panel in L1.
constexpr int64_t max_block_rows = 512;
constexpr int64_t max_block_columns = 1024;
constexpr int64_t block_steps = 256;                                       // words along k
constexpr int64_t pass_steps = has_tiles ? 2 * block_steps : block_steps;  // two pieces in tiles

struct Scratch {
    alignas(64) float sums[max_block_rows * max_block_columns];
    alignas(64) float left[max_block_rows * pass_steps];
    alignas(64) float right[tile_columns * pass_steps];
};
static_assert(sizeof(Scratch) <= ThreadPool::scratch_bytes, "a thread's scratch memory");

// Rows and columns of c.
struct Block {
    int64_t row, rows, column, columns;
};

int64_t padded(int64_t columns) { return ceil_div(columns, 16) * 16; }
int64_t tile_width(int64_t columns_left) { return columns_left <= 16 ? 16 : tile_columns; }

// The rows of a block as the micro-kernel takes them, and where their sums stand: tile by tile, first a panel's tiles,
// then the next panel's. Rows are dealt evenly to the panels: a last panel of few rows would run at a fraction of the
// speed. In tile registers every panel has 16 rows, and the last one's tiles are as large as the others'.
struct Panels {
    int64_t rows;
    bool in_tiles;
    int64_t count;
    int64_t stride;  // floats that the sums of a row take

    Panels(const Block &block, bool in_tiles_)
        : rows(block.rows),
          in_tiles(in_tiles_),
          count(ceil_div(rows, in_tiles ? tile_side : tile_rows)),
          stride(padded(block.columns)) {}
    int64_t begin(int64_t panel) const { return in_tiles ? min(rows, panel * tile_side) : rows * panel / count; }
    int64_t size(int64_t panel) const { return begin(panel + 1) - begin(panel); }

    // The panel's first sum in the tile of columns that begins at `column`. The next row's is the tile's width further.
    int64_t place(int64_t panel, int64_t column) const {
        return begin(panel) * stride + column * (in_tiles ? tile_side : size(panel));
    }
};

// How c is cut into blocks, one for each task.
struct Plan {
    int64_t m, n;
    int64_t m_parts, n_parts;

    Plan(int64_t m_, int64_t n_, int64_t threads)
        : m(m_), n(n_), m_parts(ceil_div(m, max_block_rows)), n_parts(ceil_div(n, max_block_columns)) {
        const int64_t column_tiles = ceil_div(n, tile_columns), row_tiles = ceil_div(m, tile_rows);
        // Splitting columns packs the left factor once more, splitting rows decodes the right one once more.
        while (m_parts * n_parts < threads) {
            if (n_parts * 4 <= column_tiles) {
                n_parts++;
            } else if (m_parts * 2 <= row_tiles) {
                m_parts++;
            } else if (n_parts < column_tiles) {
                n_parts++;
            } else {
                break;
            }
        }
        // Few tasks must divide evenly.
        if (m_parts * n_parts < 4 * threads) {
            int64_t even = n_parts;
            while (m_parts * even % threads != 0) even++;
            if (even <= column_tiles) n_parts = even;
        }
    }

    int64_t tasks() const { return m_parts * n_parts; }

    Block block(int64_t task) const {
        const int64_t i = task % m_parts, j = task / m_parts, column_tiles = ceil_div(n, tile_columns);
        const int64_t row = m * i / m_parts, column = column_tiles * j / n_parts * tile_columns;
        return {row, m * (i + 1) / m_parts - row, column,
                min(n, column_tiles * (j + 1) / n_parts * tile_columns) - column};
    }
};

template <class F>
void for_each_tile_row(const Block &block, const Panels &panels, float *sums, F f) {
    for (int64_t panel = 0; panel < panels.count; panel++) {
        for (int64_t column = 0; column < block.columns; column += tile_columns) {
            const int64_t width = tile_width(block.columns - column);
            float *tile = sums + panels.place(panel, column);
            for (int64_t r = 0; r < panels.size(panel); r++) {
                f(block.row + panels.begin(panel) + r, block.column + column, min(width, block.columns - column),
                  tile + r * width);
            }
        }
    }
}

// Which way a product goes does not depend on its blocks: a sum's bits are the same however many threads there are.
bool in_tiles(const Segment &segment) {
    return has_tiles && (segment.words == Words::bf16_pairs || segment.words == Words::bf16_parts);
}

bool by_few_rows(const Product &p, const Segment &segment) {
    return segment.right.nf4 && segment.right.k_contiguous && p.c->rows <= few_rows && !in_tiles(segment);
}

// Segments in tile registers. Where one ends, the next begins in the same pass: for an adapter's few ranks alone, loading
// and storing sums would take as long as multiplying.
void add_segments_in_tiles(const Segment *segments, int count, const Block &block, const Panels &panels, bool fresh,
                           Scratch &scratch) {
    const TileRegisters registers(block.rows);
    const Segment *segment = segments, *end = segments + count;
    for (int64_t k = 0; segment < end; fresh = false) {
        Pass pass;
        pass.add(segment, k, block_steps);
        if (k == 0 && segment < end) pass.add(segment, k, block_steps);
        for (int64_t panel = 0; panel < panels.count; panel++) {
            const int64_t first = panels.begin(panel);
            pass.pack_left(block.row + first, panels.size(panel), scratch.left + first * pass.left_steps(),
                           scratch.right);
        }
        for (int64_t column = 0; column < block.columns; column += tile_columns) {
            const int64_t width = tile_width(block.columns - column);
            pass.pack_right(block.column + column, width, scratch.right);
            for (int64_t panel = 0; panel < panels.count; panel += 2) {
                pass.multiply(min(2, panels.count - panel), scratch.left + panels.begin(panel) * pass.left_steps(),
                              scratch.right, width, scratch.sums + panels.place(panel, column),
                              panels.stride * tile_side, fresh);
            }
        }
    }
}

void add_segment(const Segment &segment, const Block &block, const Panels &panels, bool fresh, Scratch &scratch) {
    const bool pairs = segment.words == Words::bf16_pairs;
    const int64_t k_step = block_steps * (pairs ? 2 : 1);
    // Rounding concerns the right factor.
    const Words left_words = pairs ? Words::bf16_pairs : Words::f32;
    for (int64_t k = 0; k < segment.k; k += k_step) {
        const int64_t count = min(k_step, segment.k - k);
        const int64_t steps = pairs ? (count + 1) / 2 : count;
        for (int64_t panel = 0; panel < panels.count; panel++) {
            const int64_t first = panels.begin(panel);
            pack(segment.left, left_words, k, count, block.row + first, panels.size(panel),
                 scratch.left + first * steps);
        }
        for (int64_t column = 0; column < block.columns; column += tile_columns) {
            const int64_t width = tile_width(block.columns - column);
            pack(segment.right, segment.words, k, count, block.column + column, width, scratch.right);
            for (int64_t panel = 0; panel < panels.count; panel++) {
                micro_kernel(panels.size(panel), width, pairs)(
                    steps, scratch.left + panels.begin(panel) * steps, scratch.right,
                    scratch.sums + panels.place(panel, column), fresh && k == 0);
            }
        }
    }
}

// The same for few rows and NF4: the weights stream past once, over a much longer part of k.
void add_nf4_segment(const Segment &segment, const Block &block, const Panels &panels, bool fresh, Scratch &scratch) {
    const bool pairs = segment.words == Words::bf16_pairs;
    const int64_t k_step = int64_t{max_block_rows * block_steps / few_rows} * (pairs ? 2 : 1);
    const Nf4Matrix w(*segment.right.nf4);
    for (int64_t k = 0; k < segment.k; k += k_step) {
        const int64_t count = min(k_step, segment.k - k);
        pack(segment.left, pairs ? Words::bf16_pairs : Words::f32, k, count, block.row, block.rows, scratch.left);
        multiply_few_rows(w, segment.words, block.rows, k, count, block.column / band_rows, panels.stride / band_rows,
                          scratch.left, scratch.sums, fresh && k == 0);
    }
}

void apply_dropout(const Dropout &dropout, const Block &block, const Panels &panels, float *sums) {
    for_each_tile_row(block, panels, sums, [&](int64_t row, int64_t column, int64_t count, float *values) {
        float factors[64];
        dropout_factors(dropout, row, column, count, factors);
        for (int64_t j = 0; j < count; j++) values[j] *= factors[j];
    });
}

template <class T>
void write(const Product &p, const Block &block, const Panels &panels, float *sums) {
    const nf4j_tensor &c = *p.c;
    const Vec alpha = broadcast(p.alpha), beta = broadcast(p.beta);
    for_each_tile_row(block, panels, sums, [&](int64_t row, int64_t column, int64_t count, const float *values) {
        for (int64_t j = 0; j < count; j += lanes) {
            const int64_t n = min(lanes, count - j);
            T *out = static_cast<T *>(c.data) + row * c.ld + column + j;
            Vec value = load(values + j) * alpha;
            if (p.beta != 0) value = fma(beta, load(out, n), value);
            if (p.bias && p.bias->dtype == NF4J_F32) {
                value = value + load(static_cast<const float *>(p.bias->data) + column + j, n);
            } else if (p.bias) {
                value = value + load(static_cast<const bf16 *>(p.bias->data) + column + j, n);
            }
            store(out, value, n);
        }
    });
}

// Segments i ... i + n - 1, one unless they are in tiles.
void add_segments(const Product &p, int i, int n, const Block &block, const Panels &panels, bool fresh,
                  Scratch &scratch) {
    if constexpr (has_tiles) {
        if (panels.in_tiles) return add_segments_in_tiles(p.segments + i, n, block, panels, fresh, scratch);
    }
    const Segment &segment = p.segments[i];
    (by_few_rows(p, segment) ? add_nf4_segment : add_segment)(segment, block, panels, fresh, scratch);
}

void compute(const Product &p, const Block &block, Scratch &scratch) {
    const Panels panels(block, in_tiles(p.segments[0]));
    bool fresh = true;
    for (int i = 0, n; i < p.count; i += n) {
        // Tiles take together what nothing comes between.
        n = panels.in_tiles && !p.dropout_after_first ? p.count : 1;
        if (n > 1 || p.segments[i].k > 0) {
            add_segments(p, i, n, block, panels, fresh, scratch);
            fresh = false;
        }
        if (i == 0 && p.dropout_after_first) apply_dropout(*p.dropout_after_first, block, panels, scratch.sums);
    }
    if (fresh)
        std::memset(scratch.sums, 0, static_cast<size_t>(whole_tiles(block.rows) * panels.stride) * sizeof(float));
    (p.c->dtype == NF4J_F32 ? write<float> : write<bf16>)(p, block, panels, scratch.sums);
}

}  // namespace

Words words_for(int32_t dtype) {
    if (dtype == NF4J_F32) return Words::f32;
    return has_bf16_pairs ? Words::bf16_pairs : Words::f32_of_bf16;
}

Words exact_words_for(int32_t dtype) { return dtype == NF4J_F32 ? Words::f32 : Words::bf16_parts; }

Product product(const Segment &segment, const nf4j_tensor *c) {
    Product p = {};
    p.segments[0] = segment;
    p.count = 1;
    p.alpha = 1;
    p.c = c;
    return p;
}

Operand rows_of(const nf4j_tensor &matrix) {
    Operand o;
    o.data = matrix.data;
    o.dtype = matrix.dtype;
    o.ld = matrix.ld;
    o.outer = matrix.rows;
    return o;
}

Operand columns_of(const nf4j_tensor &matrix) {
    Operand o = rows_of(matrix);
    o.outer = matrix.cols;
    o.k_contiguous = false;
    return o;
}

Operand rows_of(const nf4j_nf4_weight &weight) {
    Operand o;
    o.nf4 = &weight;
    o.outer = weight.rows;
    return o;
}

Operand columns_of(const nf4j_nf4_weight &weight) {
    Operand o = rows_of(weight);
    o.outer = weight.cols;
    o.k_contiguous = false;
    return o;
}

Operand rows_of(const nf4j_linear &layer) { return layer.nf4 ? rows_of(*layer.nf4) : rows_of(*layer.dense); }
Operand columns_of(const nf4j_linear &layer) { return layer.nf4 ? columns_of(*layer.nf4) : columns_of(*layer.dense); }

void multiply(ThreadPool &pool, const Product &p) {
    if (p.c->rows == 0) return;  // tile registers have at least one row
    const Plan plan(p.c->rows, p.c->cols, pool.threads());
    pool.parallel_for(plan.tasks(), [&](int64_t task, int thread) {
        compute(p, plan.block(task), *reinterpret_cast<Scratch *>(pool.scratch(thread)));
    });
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
