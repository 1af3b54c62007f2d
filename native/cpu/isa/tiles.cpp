#include "cpu/isa/tiles.h"

#if defined(__AMX_BF16__)

#include "cpu/isa/pack.h"
#include "cpu/isa/transpose.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

// The memory operand of LDTILECFG: tiles 0 to 3 have the sums, 4 and 5 the left factor's words, 6 and 7 the right one's.
struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16];
    uint8_t rows[16];

    TileConfig(uint8_t n, uint8_t tail)
        : row_bytes{64, 64, 64, 64, 64, static_cast<uint16_t>(4 * tail), 64, 64},
          rows{n, n, n, n, n, n, tile_side, tail} {}
};
static_assert(sizeof(TileConfig) == 64, "as the processor reads it");

// GCC's intrinsics do not say that they read memory.
inline void memory_is_read() { __asm__ volatile("" ::: "memory"); }

template <class T>
void pack_rows(const Operand &o, int64_t k0, int64_t count, int64_t outer0, int64_t rows, float *panel) {
    for (int64_t r = 0; r < tile_side; r++) {
        float *out = panel + r * tile_side;
        const T *row = static_cast<const T *>(o.data) + (outer0 + r) * o.ld + k0;
        for (int64_t k = 0; k < count; k += 2 * tile_side, out += tile_side * tile_side) {
            store(out, r < rows ? load_words<T, Words::bf16_pairs>(row + k, count - k) : zero());
        }
    }
}

template <bool two_panels, bool two_columns>
void run(int64_t steps, const float *left, const float *right, float *sums, int64_t panel_stride, bool fresh) {
    constexpr int64_t width = two_columns ? 2 * tile_side : tile_side;
    constexpr int64_t stride = width * int64_t{sizeof(float)}, left_stride = tile_side * int64_t{sizeof(float)};
    const float *next_left = left + steps * tile_side;
    float *next_sums = sums + panel_stride;
    memory_is_read();
    if (fresh) {
        _tile_zero(0);
        if (two_columns) _tile_zero(1);
        if (two_panels) _tile_zero(2);
        if (two_panels && two_columns) _tile_zero(3);
    } else {
        _tile_loadd(0, sums, stride);
        if (two_columns) _tile_loadd(1, sums + tile_side, stride);
        if (two_panels) _tile_loadd(2, next_sums, stride);
        if (two_panels && two_columns) _tile_loadd(3, next_sums + tile_side, stride);
    }
    for (int64_t k = 0; k < steps; k += tile_side) {
        for (int64_t row = 0; row < tile_side; row++) {  // left panels stand in L2: those of the step after the next
            __builtin_prefetch(left + (2 * tile_side + row) * tile_side);
            if (two_panels) __builtin_prefetch(next_left + (2 * tile_side + row) * tile_side);
        }
        _tile_loadd(6, right, stride);
        _tile_loadd(4, left, left_stride);
        _tile_dpbf16ps(0, 4, 6);
        if (two_columns) {
            _tile_loadd(7, right + tile_side, stride);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (two_panels) {
            _tile_loadd(5, next_left, left_stride);
            _tile_dpbf16ps(2, 5, 6);
            if (two_columns) _tile_dpbf16ps(3, 5, 7);
        }
        right += tile_side * width;
        left += tile_side * tile_side;
        next_left += tile_side * tile_side;
    }
    _tile_stored(0, sums, stride);
    if (two_columns) _tile_stored(1, sums + tile_side, stride);
    if (two_panels) _tile_stored(2, next_sums, stride);
    if (two_panels && two_columns) _tile_stored(3, next_sums + tile_side, stride);
    memory_is_read();
}

// What multiply_in_place is asked for.
struct InPlace {
    const float *a;
    int64_t lda;
    bool transposed;
    const float *b;
    int64_t ldb;
    float *c;
    int64_t ldc, k;
    bool add;
};

// Up to 16 rows of c from row i on, four tiles of columns from column j on, or two.
template <bool wide>
void run_in_place(const InPlace &p, int64_t i, int64_t j) {
    const int64_t sum_stride = p.ldc * int64_t{sizeof(float)}, right_stride = p.ldb * int64_t{sizeof(float)};
    float *sums = p.c + i * p.ldc + j;
    alignas(64) float square[tile_side * tile_side];
    int64_t left_stride = p.lda * int64_t{sizeof(float)};
    // Words l ... of the rows.
    const auto left_at = [&](int64_t l) {
        if (!p.transposed) return p.a + i * p.lda + l;
        Vec words[lanes];
        for (int64_t w = 0; w < lanes; w++) words[w] = l + w < p.k ? load(p.a + (l + w) * p.lda + i) : zero();
        transpose(words);
        for (int64_t row = 0; row < lanes; row++) store(square + row * tile_side, words[row]);
        left_stride = tile_side * int64_t{sizeof(float)};
        return static_cast<const float *>(square);
    };
    memory_is_read();
    if (p.add) {
        _tile_loadd(0, sums, sum_stride);
        _tile_loadd(1, sums + tile_side, sum_stride);
        if (wide) _tile_loadd(2, sums + 2 * tile_side, sum_stride);
        if (wide) _tile_loadd(3, sums + 3 * tile_side, sum_stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        if (wide) _tile_zero(2);
        if (wide) _tile_zero(3);
    }
    int64_t l = 0;
    for (; l + tile_side <= p.k; l += tile_side) {
        const float *left = left_at(l), *right = p.b + l * p.ldb + j;
        memory_is_read();
        _tile_loadd(4, left, left_stride);
        _tile_loadd(6, right, right_stride);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(6, right + tile_side, right_stride);
        _tile_dpbf16ps(1, 4, 6);
        if (wide) {
            _tile_loadd(6, right + 2 * tile_side, right_stride);
            _tile_dpbf16ps(2, 4, 6);
            _tile_loadd(6, right + 3 * tile_side, right_stride);
            _tile_dpbf16ps(3, 4, 6);
        }
    }
    if (l < p.k) {
        const float *left = left_at(l), *right = p.b + l * p.ldb + j;
        memory_is_read();
        _tile_loadd(5, left, left_stride);
        _tile_loadd(7, right, right_stride);
        _tile_dpbf16ps(0, 5, 7);
        _tile_loadd(7, right + tile_side, right_stride);
        _tile_dpbf16ps(1, 5, 7);
        if (wide) {
            _tile_loadd(7, right + 2 * tile_side, right_stride);
            _tile_dpbf16ps(2, 5, 7);
            _tile_loadd(7, right + 3 * tile_side, right_stride);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, sums, sum_stride);
    _tile_stored(1, sums + tile_side, sum_stride);
    if (wide) _tile_stored(2, sums + 2 * tile_side, sum_stride);
    if (wide) _tile_stored(3, sums + 3 * tile_side, sum_stride);
    memory_is_read();
}

}  // namespace

TileRegisters::TileRegisters(int64_t rows, int64_t tail) {
    const TileConfig config(static_cast<uint8_t>(rows < tile_side ? rows : tile_side), static_cast<uint8_t>(tail));
    memory_is_read();
    _tile_loadconfig(&config);
}
TileRegisters::~TileRegisters() { _tile_release(); }

void pack_tiles(const Operand &o, int64_t k0, int64_t count, int64_t outer0, int64_t rows, float *panel,
                float *staging) {
    if (o.k_contiguous)
        return (o.dtype == NF4J_BF16 ? pack_rows<bf16> : pack_rows<float>)(o, k0, count, outer0, rows, panel);
    const int64_t steps = (count + 1) / 2;
    pack(o, Words::bf16_pairs, k0, count, outer0, tile_side, staging);
    for (int64_t k = 0; k < steps; k += tile_side, panel += tile_side * tile_side) {
        Vec square[lanes];
        for (int64_t i = 0; i < lanes; i++) square[i] = k + i < steps ? load(staging + (k + i) * tile_side) : zero();
        transpose(square);
        for (int64_t i = 0; i < lanes; i++) store(panel + i * tile_side, square[i]);
    }
}

void multiply_tiles(int64_t panels, int64_t steps, const float *left, const float *right, int64_t width, float *sums,
                    int64_t panel_stride, bool fresh) {
    const bool two_columns = width > tile_side;
    if (panels == 2) {
        (two_columns ? run<true, true> : run<true, false>)(steps, left, right, sums, panel_stride, fresh);
    } else {
        (two_columns ? run<false, true> : run<false, false>)(steps, left, right, sums, panel_stride, fresh);
    }
}

void multiply_in_place(const float *a, int64_t lda, bool transposed, const float *b, int64_t ldb, float *c, int64_t ldc,
                       int64_t m, int64_t n, int64_t k, bool add) {
    const InPlace product = {a, lda, transposed, b, ldb, c, ldc, k, add};
    const int64_t tail = k % tile_side > 0 ? k % tile_side : tile_side, whole = m / tile_side * tile_side;
    const auto run_rows = [&](int64_t i) {
        int64_t j = 0;
        for (; j + 4 * tile_side <= n; j += 4 * tile_side) run_in_place<true>(product, i, j);
        if (j < n) run_in_place<false>(product, i, j);
    };
    if (whole > 0) {
        const TileRegisters registers(tile_side, tail);
        for (int64_t i = 0; i < whole; i += tile_side) run_rows(i);
    }
    if (whole < m) {
        const TileRegisters registers(m - whole, tail);
        run_rows(whole);
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME

#endif
