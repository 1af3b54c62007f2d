// Decodes tiles of an NF4 weight into panels.
#include "cpu/isa/nf4_matrix.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

template <Words words>
Vec as_word(Vec value) {
    return words == Words::f32_of_bf16 ? rounded_to_bf16(value) : value;
}

// The first `count` columns of one tile. `whole`: all 8, within one run of scales.
template <Words words, bool whole>
inline void decode_tile(const Nf4Matrix &w, const CodeMap &map, BandScales &scales, int64_t band, int64_t column,
                        int64_t count, int64_t width, float *panel) {
    const uint32_t *tile = w.tile(band, column / tile_cols);
    const int columns = whole ? static_cast<int>(tile_cols) : static_cast<int>(count);
    Vec scale[vecs16];
    const auto read_scales = [&] {
        for (int h = 0; h < vecs16; h++) scale[h] = scales[h];
    };
    const auto decode = [&](int j, int h) { return tile_column(map, tile, j, h) * scale[h]; };
    const auto move_to = [&](int j) {
        if (whole) return;
        if (column + j >= scales.end) scales.read(w, band, column + j, column + count);
        read_scales();
    };
    read_scales();
    if constexpr (words == Words::bf16_pairs) {
        for (int j = 0; j < columns; j += 2, panel += width) {
            Vec even[vecs16], odd[vecs16] = {};
            move_to(j);
            for (int h = 0; h < vecs16; h++) even[h] = decode(j, h);
            if (j + 1 < columns) {
                move_to(j + 1);
                for (int h = 0; h < vecs16; h++) odd[h] = decode(j + 1, h);
            }
            for (int h = 0; h < vecs16; h++) store(panel + h * lanes, pair_up(even[h], odd[h]));
        }
    } else {
        for (int j = 0; j < columns; j++, panel += width) {
            move_to(j);
            for (int h = 0; h < vecs16; h++) store(panel + h * lanes, as_word<words>(decode(j, h)));
        }
    }
}

template <Words words>
void forward(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    const CodeMap map = load_map(w.blob.quant_map);
    for (int64_t group = 0; group < width; group += band_rows) {
        const int64_t band = (outer0 + group) / band_rows;
        BandScales scales;
        float *out = panel + group;
        for (int64_t k = k0; k < k0 + count; k += tile_cols) {
            __builtin_prefetch(w.tile(band + width / band_rows, k / tile_cols));  // of the panel after this one
            if (k >= scales.end) scales.read(w, band, k, k0 + count);
            const int64_t columns = k0 + count - k;
            if (columns >= tile_cols && scales.end >= k + tile_cols) {
                decode_tile<words, true>(w, map, scales, band, k, tile_cols, width, out);
            } else {
                decode_tile<words, false>(w, map, scales, band, k, columns < tile_cols ? columns : tile_cols, width,
                                          out);
            }
            out += tile_cols / (words == Words::bf16_pairs ? 2 : 1) * width;
        }
    }
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

// Rows that blocks do not straddle, and columns within one block: each row of a band has one scale. Pairs begin at even k.
template <Words words>
void backward_in_block(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    constexpr int step = words == Words::bf16_pairs ? 2 : 1;
    const CodeMap map = load_map(w.blob.quant_map);
    const int64_t blocks = w.blob.cols >> w.block_shift, block = outer0 >> w.block_shift;
    const int64_t first_tile = outer0 / tile_cols;
    for (int64_t k = k0; k < k0 + count;) {
        const int64_t band = k / band_rows, end = min((band + 1) * band_rows, k0 + count);
        float scales[band_rows];
        for (int64_t row = k; row < end; row++) scales[row % band_rows] = w.blob.absmax(row * blocks + block);
        // The panel after this one goes on 256 bytes further in every band: too far apart for the hardware's prefetcher.
        for (int64_t t = 0; t < width / tile_cols; t++)
            __builtin_prefetch(w.tile(band, first_tile + width / tile_cols + t));
        for (; k < end; k += step, panel += width) {
            const int r = static_cast<int>(k % band_rows);
            for (int64_t group = 0; group < width / 16; group++) {
                const int64_t t = first_tile + group * 2;
                const uint32_t *tile = w.tile(band, t);
                const uint32_t *next = t + 1 < w.tiles ? tile + 16 : tile;  // columns past the end are nobody's
                for (int h = 0; h < vecs16; h++) {
                    Vec word = tile_row(map, tile, next, r, h) * broadcast(scales[r]);
                    if constexpr (step == 2) {
                        const Vec odd =
                            k + 1 < end ? tile_row(map, tile, next, r + 1, h) * broadcast(scales[r + 1]) : zero();
                        word = pair_up(word, odd);
                    }
                    store(panel + group * 16 + h * lanes, as_word<words>(word));
                }
            }
        }
    }
}

template <Words words>
void backward(const Nf4Matrix &w, int64_t k0, int64_t count, int64_t outer0, int64_t width, float *panel) {
    constexpr int step = words == Words::bf16_pairs ? 2 : 1;
    const int64_t size = w.blob.block_size;
    if (w.blob.cols % size == 0 && outer0 % size + width <= size) {
        return backward_in_block<words>(w, k0, count, outer0, width, panel);
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
        case Words::f32: return forward<Words::f32>(w, k0, count, outer0, width, panel);
        case Words::f32_of_bf16: return forward<Words::f32_of_bf16>(w, k0, count, outer0, width, panel);
        case Words::bf16_pairs: return forward<Words::bf16_pairs>(w, k0, count, outer0, width, panel);
    }
}

void decode_backward(const Nf4Matrix &w, Words words, int64_t k0, int64_t count, int64_t outer0, int64_t width,
                     float *panel) {
    switch (words) {
        case Words::f32: return backward<Words::f32>(w, k0, count, outer0, width, panel);
        case Words::f32_of_bf16: return backward<Words::f32_of_bf16>(w, k0, count, outer0, width, panel);
        case Words::bf16_pairs: return backward<Words::bf16_pairs>(w, k0, count, outer0, width, panel);
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
