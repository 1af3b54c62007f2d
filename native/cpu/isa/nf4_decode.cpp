// Decodes tiles of an NF4 weight into panels.
#include "cpu/isa/nf4_matrix.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

template <Words words>
Vec as_word(Vec value) {
    return words == Words::f32_of_bf16 ? rounded_to_bf16(value) : value;
}

// Columns j and j + 1 of a tile, or j alone, as words of a panel.
template <Words words, class F>
inline Vec as_words(int j, F decode) {
    if constexpr (words == Words::bf16_pairs) return pair_up(decode(j), decode(j + 1));
    return as_word<words>(decode(j));
}

// Tiles that follow one another in a band, within one run of scales. `ahead`: how far on the panel after this one stands.
template <Words words, int width>
inline void decode_tiles(const CodeMap &map, const uint32_t *tile, int64_t tiles, int64_t ahead,
                         const BandScales &scales, float *out) {
    constexpr int step = words == Words::bf16_pairs ? 2 : 1;
    for (; tiles > 0; tiles--, tile += 16) {
        __builtin_prefetch(tile + ahead);
        for (int j = 0; j < tile_cols; j += step, out += width) {
            for (int h = 0; h < vecs16; h++) {
                const auto decode = [&](int column) { return tile_column(map, tile, column, h) * scales[h]; };
                store(out + h * lanes, as_words<words>(j, decode));
            }
        }
    }
}

// The first `count` columns of a tile, with a look at the scales before each.
template <Words words, int width>
[[gnu::noinline]] void decode_ragged_tile(const Nf4Matrix &w, const CodeMap &map, BandScales &scales, int64_t band,
                                          int64_t column, int64_t count, float *out) {
    constexpr int step = words == Words::bf16_pairs ? 2 : 1;
    const uint32_t *tile = w.tile(band, column / tile_cols);
    for (int j = 0; j < count; j += step, out += width) {
        Vec values[2][vecs16] = {};
        for (int i = 0; i < step && j + i < count; i++) {
            if (column + j + i >= scales.end) scales.read(w, band, column + j + i, column + count);
            for (int h = 0; h < vecs16; h++) values[i][h] = tile_column(map, tile, j + i, h) * scales[h];
        }
        for (int h = 0; h < vecs16; h++) {
            store(out + h * lanes, as_words<words>(0, [&](int i) { return values[i][h]; }));
        }
    }
}

template <Words words, int width>
void forward(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, float *panel) {
    constexpr int64_t words_of_tile = tile_cols / (words == Words::bf16_pairs ? 2 : 1);
    const CodeMap map = load_map(w.blob.quant_map);
    const int64_t last = k0 + count;
    for (int64_t group = 0; group < width; group += band_rows) {
        const int64_t band = (outer0 + group) / band_rows;
        BandScales scales;
        float *out = panel + group;
        for (int64_t k = k0; k < last;) {
            if (k >= scales.end) scales.read(w, band, k, last);
            const int64_t tiles = (min(scales.end, last) - k) / tile_cols;
            if (tiles > 0) {
                decode_tiles<words, width>(map, w.tile(band, k / tile_cols), tiles, width * w.tiles, scales, out);
            } else {
                decode_ragged_tile<words, width>(w, map, scales, band, k, min(tile_cols, last - k), out);
            }
            const int64_t done = tiles > 0 ? tiles : 1;
            k += done * tile_cols;
            out += done * words_of_tile * width;
        }
    }
}

template <Words words>
void forward(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    (width == 16 ? forward<words, 16> : forward<words, 32>)(w, k0, count, outer0, panel);
}

// Row `row` of w, columns outer0 ..., into values[width / lanes].
inline void decode_row(const Nf4Matrix &w, const CodeMap &map, int64_t row, int64_t outer0, int64_t width,
                       Vec *values) {
    const int64_t element = row * w.blob.cols + outer0;
    const int64_t block = element >> w.block_shift;
    const int64_t left = w.blob.block_size - (element & (w.blob.block_size - 1));
    const float first = w.blob.absmax(block);
    const int64_t last_tile = w.tiles - 1;
    const float second = left < width && block + 1 < w.blob.blocks ? w.blob.absmax(block + 1) : first;
    for (int64_t group = 0; group < width / 16; group++) {
        const int64_t t = (outer0 + group * 16) / tile_cols;
        const uint32_t *tile = w.tile(row / band_rows, t);
        const uint32_t *next = t < last_tile ? tile + 16 : tile;  // columns past the end are nobody's
        for (int h = 0; h < vecs16; h++) {
            const int64_t column = group * 16 + h * lanes;
            // Blocks have at least 32 elements, so at most two of them meet here.
            const Vec scale = select(lane_numbers() < broadcast(static_cast<float>(left - column)), broadcast(first),
                                     broadcast(second));
            values[group * vecs16 + h] = tile_row(map, tile, next, static_cast<int>(row % band_rows), h) * scale;
        }
    }
}

// Row r of two neighbouring tiles, for pairs also the next one, times the rows' scales.
template <Words words>
inline void store_row(const CodeMap &map, const uint32_t *left, const uint32_t *right, const float *scales, int r,
                      float *out) {
#if defined(__AVX512BF16__)
    if constexpr (words == Words::bf16_pairs) {
        store(out, neighbours(tile_row_pair(map, left, scales, r), tile_row_pair(map, right, scales, r)));
        return;
    }
#endif
    for (int h = 0; h < vecs16; h++) {
        store(out + h * lanes, as_word<words>(tile_row(map, left, right, r, h) * broadcast(scales[r])));
    }
}

// Rows that blocks do not straddle, and columns within one block: each row of a band has one scale. Pairs begin at even k.
template <Words words, int width>
void backward_in_block(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, float *panel) {
    const CodeMap map = load_map(w.blob.quant_map);
    const int64_t blocks = w.blob.cols >> w.block_shift, block = outer0 >> w.block_shift;
    const int64_t first_tile = outer0 / tile_cols, last = k0 + count;
    const bool whole = first_tile + width / tile_cols <= w.tiles;
    for (int64_t row0 = k0 / band_rows * band_rows; row0 < last; row0 += band_rows) {
        const int64_t begin = row0 < k0 ? k0 - row0 : 0, end = min(band_rows, last - row0);
        alignas(64) float scales[band_rows] = {};  // past the last row stand zeros
        for (int64_t r = begin; r < end; r++) scales[r] = w.blob.absmax((row0 + r) * blocks + block);
        const uint32_t *tile = w.tile(row0 / band_rows, first_tile);
        // The panel after this one goes on 256 bytes further in every band: too far apart for the hardware's prefetcher.
        for (int64_t t = 0; t < width / tile_cols; t++) __builtin_prefetch(tile + width * 2 + t * 16);
        for (int64_t r = begin; r < end; r += words == Words::bf16_pairs ? 2 : 1, panel += width) {
            for (int64_t group = 0; group < width; group += 16) {
                const uint32_t *left = tile + group * 2;
                const uint32_t *right =
                    whole || group + 16 < width ? left + 16 : left;  // columns past the end are nobody's
                store_row<words>(map, left, right, scales, static_cast<int>(r), panel + group);
            }
        }
    }
}

template <Words words>
void backward(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    constexpr int step = words == Words::bf16_pairs ? 2 : 1;
    const int64_t size = w.blob.block_size;
    if (w.blob.cols % size == 0 && outer0 % size + width <= size) {
        return (width == 16 ? backward_in_block<words, 16> : backward_in_block<words, 32>)(w, k0, count, outer0, panel);
    }
    const CodeMap map = load_map(w.blob.quant_map);
    const int64_t vecs = width / lanes;
    for (int64_t k = k0; k < k0 + count; k += step, panel += width) {
        Vec values[2 * vecs16], odd[2 * vecs16] = {};
        decode_row(w, map, k, outer0, width, values);
        if (step == 2 && k + 1 < k0 + count) decode_row(w, map, k + 1, outer0, width, odd);
        for (int64_t v = 0; v < vecs; v++) {
            store(panel + v * lanes, step == 2 ? pair_up(values[v], odd[v]) : as_word<words>(values[v]));
        }
    }
}

}  // namespace

void decode_forward(const Nf4Matrix &w, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width,
                    float *panel) {
    switch (words) {
        case Words::f32:
        case Words::bf16_parts: return forward<Words::f32>(w, k0, count, outer0, width, panel);
        case Words::f32_of_bf16: return forward<Words::f32_of_bf16>(w, k0, count, outer0, width, panel);
        case Words::bf16_pairs: return forward<Words::bf16_pairs>(w, k0, count, outer0, width, panel);
    }
}

void decode_backward(const Nf4Matrix &w, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width,
                     float *panel) {
    switch (words) {
        case Words::f32:
        case Words::bf16_parts: return backward<Words::f32>(w, k0, count, outer0, width, panel);
        case Words::f32_of_bf16: return backward<Words::f32_of_bf16>(w, k0, count, outer0, width, panel);
        case Words::bf16_pairs: return backward<Words::bf16_pairs>(w, k0, count, outer0, width, panel);
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
