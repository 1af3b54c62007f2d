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

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

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

// Three parts of elements of which two become a pair.
inline void split(Vec first, Vec second, Vec (&pairs)[3]) {
    for (Vec &pair : pairs) {
        pair = pair_up(first, second);
        const __m512i bits = _mm512_castps_si512(pair.v);
        first = first - Vec{_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16))};
        second = second - Vec{_mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(-0x10000)))};
    }
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

void Pass::add(const Segment *&segment, int64_t &k, int64_t words) {
    const auto is_split = [&](const Operand &o) {
        const bool as_in_memory = !o.dropout && o.scale == 1;
        return segment->words == Words::bf16_parts && !(o.dtype == NF4J_BF16 && as_in_memory);
    };
    const bool split_left = is_split(segment->left), split_right = is_split(segment->right);
    constexpr Parts whole = {1, 0, 0}, three = {3, 0x210, 0};
    Piece piece = {segment, k, 0, split_left ? three : whole, split_right ? three : whole, 0};
    if (split_left && split_right) {
        piece.left = {6, 0x210100, 0};
        piece.right = {6, 0x012010, 0};
    }
    const int64_t room = words / max(piece.left.count, piece.right.count) / tile_side * tile_side;
    piece.count = min(2 * room, segment->k - k);
    piece.part_words = (piece.count + 1) / 2;
    // A factor of one part is multiplied by each part of the other one, which therefore begin at whole tiles. Else parts
    // follow closely: the few ranks of an adapter would leave half of every tile empty.
    if (split_left != split_right) piece.part_words = whole_tiles(piece.part_words);
    piece.left.steps = whole_tiles(piece.left.count * piece.part_words);
    piece.right.steps = whole_tiles(piece.right.count * piece.part_words);
    pieces_[count_++] = piece;
    left_steps_ += piece.left.steps;
    k += piece.count;
    if (k < segment->k) return;
    segment++;
    k = 0;
}

void Pass::pack(const Piece &piece, const Operand &o, const Parts &parts, int64_t outer0, int64_t width, float *panel) {
    constexpr int64_t staged = 2 * tile_side;
    alignas(64) float elements[staged * 2 * tile_side];
    if (parts.count == 1) {
        NF4J_ISA_NAME::pack(o, Words::bf16_pairs, piece.k, piece.count, outer0, width, panel);
    }
    for (int64_t k = 0; k < piece.count && parts.count > 1; k += staged) {
        const int64_t n = min(staged, piece.count - k);
        NF4J_ISA_NAME::pack(o, Words::bf16_parts, piece.k + k, n, outer0, width, elements);
        for (int64_t i = 0; i < n; i += 2) {
            for (int64_t column = 0; column < width; column += lanes) {
                const float *first = elements + i * width + column;
                float *out = panel + (k + i) / 2 * width + column;
                Vec pairs[3];
                split(load(first), i + 1 < n ? load(first + width) : zero(), pairs);
                for (int64_t part = 0; part < parts.count; part++, out += piece.part_words * width) {
                    store(out, pairs[parts.digits >> (4 * part) & 15]);
                }
            }
        }
    }
    // Zeros where there is no k.
    const auto clear = [&](int64_t begin, int64_t end) {
        std::memset(panel + begin * width, 0, static_cast<size_t>((end - begin) * width) * sizeof(float));
    };
    for (int64_t part = 0; part < parts.count; part++) {
        clear(part * piece.part_words + (piece.count + 1) / 2, (part + 1) * piece.part_words);
    }
    clear(parts.count * piece.part_words, parts.steps);
}

void Pass::pack_left(int64_t outer0, int64_t rows, float *panel, float *staging) const {
    for (int i = 0; i < count_; i++) {
        const Piece &piece = pieces_[i];
        const Operand &o = piece.segment->left;
        if (o.k_contiguous && piece.left.count == 1) {
            const auto pack_rows_of = o.dtype == NF4J_BF16 ? pack_rows<bf16> : pack_rows<float>;
            pack_rows_of(o, piece.k, piece.count, outer0, rows, panel);
            panel += piece.left.steps * tile_side;
            continue;
        }
        pack(piece, o, piece.left, outer0, tile_side, staging);
        for (int64_t k = 0; k < piece.left.steps; k += tile_side, panel += tile_side * tile_side) {
            Vec square[lanes];
            for (int64_t word = 0; word < lanes; word++) square[word] = load(staging + (k + word) * tile_side);
            transpose(square);
            for (int64_t row = 0; row < lanes; row++) store(panel + row * tile_side, square[row]);
        }
    }
}

void Pass::pack_right(int64_t outer0, int64_t width, float *panel) const {
    for (int i = 0; i < count_; i++) {
        pack(pieces_[i], pieces_[i].segment->right, pieces_[i].right, outer0, width, panel);
        panel += pieces_[i].right.steps * width;
    }
}

template <bool two_panels, bool two_columns>
void Pass::run(const float *left, const float *right, float *sums, int64_t panel_stride, bool fresh) const {
    constexpr int64_t width = two_columns ? 2 * tile_side : tile_side;
    constexpr int64_t stride = width * int64_t{sizeof(float)}, left_stride = tile_side * int64_t{sizeof(float)};
    const int64_t next_left = left_steps_ * tile_side;
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
    for (int i = 0; i < count_; i++) {
        const float *left_end = left + pieces_[i].left.steps * tile_side;
        const float *right_end = right + pieces_[i].right.steps * width;
        const float *left_at = left, *right_at = right;
        for (int64_t k = max(pieces_[i].left.steps, pieces_[i].right.steps); k > 0; k -= tile_side) {
            // Left panels stand in L2: those of the step after the next.
            for (int64_t row = 0; row < tile_side; row++) {
                __builtin_prefetch(left_at + (2 * tile_side + row) * tile_side);
                if (two_panels) __builtin_prefetch(left_at + next_left + (2 * tile_side + row) * tile_side);
            }
            _tile_loadd(6, right_at, stride);
            _tile_loadd(4, left_at, left_stride);
            _tile_dpbf16ps(0, 4, 6);
            if (two_columns) {
                _tile_loadd(7, right_at + tile_side, stride);
                _tile_dpbf16ps(1, 4, 7);
            }
            if (two_panels) {
                _tile_loadd(5, left_at + next_left, left_stride);
                _tile_dpbf16ps(2, 5, 6);
                if (two_columns) _tile_dpbf16ps(3, 5, 7);
            }
            // A factor of one part begins anew for the next part of the other one.
            left_at += tile_side * tile_side;
            right_at += tile_side * width;
            if (left_at == left_end) left_at = left;
            if (right_at == right_end) right_at = right;
        }
        left = left_end;
        right = right_end;
    }
    _tile_stored(0, sums, stride);
    if (two_columns) _tile_stored(1, sums + tile_side, stride);
    if (two_panels) _tile_stored(2, next_sums, stride);
    if (two_panels && two_columns) _tile_stored(3, next_sums + tile_side, stride);
    memory_is_read();
}

void Pass::multiply(int64_t panels, const float *left, const float *right, int64_t width, float *sums,
                    int64_t panel_stride, bool fresh) const {
    const bool two_columns = width > tile_side;
    const auto multiply = panels == 2 ? (two_columns ? &Pass::run<true, true> : &Pass::run<true, false>)
                                      : (two_columns ? &Pass::run<false, true> : &Pass::run<false, false>);
    (this->*multiply)(left, right, sums, panel_stride, fresh);
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
