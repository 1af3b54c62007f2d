// x * W^T for a handful of tokens: weights are decoded in registers and used at once, not packed. Several bands go side
// by side, because the chain of FMAs that makes one sum is bound by their latency.
#include "cpu/isa/nf4_matrix.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

// How far ahead codes are fetched, 2 KiB: the bands are more streams than the hardware's prefetcher keeps up with.
constexpr int64_t prefetch_tiles = 32;

// Bands from band0 on; sums[b] is where the band's sums of the first row stand, those of the next row stride[b] later.
struct Bands {
    int64_t band0;
    float *const *sums;
    const int64_t *stride;
};

template <int rows, int bands, Words words>
void run(const Nf4Matrix &w, const Bands &to, int64_t k0, int64_t count, const float *left, bool fresh) {
    constexpr bool pairs = words == Words::bf16_pairs;
    const CodeMap map = load_map(w.blob.quant_map);
    Vec sum[rows][bands][vecs16];
    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < bands; b++) {
            for (int h = 0; h < vecs16; h++)
                sum[r][b][h] = fresh ? zero() : load(to.sums[b] + r * to.stride[b] + h * lanes);
        }
    }

    BandScales scales[bands];
    Vec scale[bands][vecs16] = {};
    int64_t end = -1;  // of the columns that `scale` is good for
    const auto read_scales = [&](int64_t k) {
        end = INT64_MAX;
        for (int b = 0; b < bands; b++) {
            if (k >= scales[b].end) scales[b].read(w, to.band0 + b, k, k0 + count);
            for (int h = 0; h < vecs16; h++) scale[b][h] = scales[b][h];
            end = scales[b].end < end ? scales[b].end : end;
        }
    };
    // `columns` columns of a tile of each band. Unless they are one run, scales are looked at before each column.
    const auto add = [&](int64_t k, int columns, bool one_run) __attribute__((always_inline)) {
        const uint32_t *tile = w.tile(to.band0, k / tile_cols);
        const auto decode = [&](int j, Vec(&out)[bands][vecs16]) __attribute__((always_inline)) {
            if (!one_run && k + j >= end) read_scales(k + j);
            for (int b = 0; b < bands; b++) {
                for (int h = 0; h < vecs16; h++)
                    out[b][h] = tile_column(map, tile + b * w.tiles * 16, j, h) * scale[b][h];
            }
        };
        for (int j = 0; j < columns; j += pairs ? 2 : 1) {
            Vec word[bands][vecs16], odd[bands][vecs16] = {};
            decode(j, word);
            if (pairs && j + 1 < columns) decode(j + 1, odd);
            for (int b = 0; b < bands; b++) {
                for (int h = 0; h < vecs16; h++) {
                    if constexpr (pairs) word[b][h] = pair_up(word[b][h], odd[b][h]);
                    if constexpr (words == Words::f32_of_bf16) word[b][h] = rounded_to_bf16(word[b][h]);
                    for (int r = 0; r < rows; r++) {
                        const Vec x = broadcast(left[r]);
                        sum[r][b][h] =
                            pairs ? dot_pairs(x, word[b][h], sum[r][b][h]) : fma(x, word[b][h], sum[r][b][h]);
                    }
                }
            }
            left += rows;
        }
    };
    for (int64_t k = k0; k < k0 + count; k += tile_cols) {
        if (k >= end) read_scales(k);
        const int64_t columns = k0 + count - k;
        for (int b = 0; b < bands; b++) __builtin_prefetch(w.tile(to.band0 + b, k / tile_cols + prefetch_tiles));
        if (columns >= tile_cols && end >= k + tile_cols) {
            add(k, tile_cols, true);
        } else {
            add(k, static_cast<int>(columns < tile_cols ? columns : tile_cols), false);
        }
    }

    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < bands; b++) {
            for (int h = 0; h < vecs16; h++) store(to.sums[b] + r * to.stride[b] + h * lanes, sum[r][b][h]);
        }
    }
}

typedef void (*Run)(const Nf4Matrix &, const Bands &, int64_t, int64_t, const float *, bool);

template <int rows, int bands>
Run run_for(Words words) {
    switch (words) {
        case Words::f32: return run<rows, bands, Words::f32>;
        case Words::f32_of_bf16: return run<rows, bands, Words::f32_of_bf16>;
        default: return run<rows, bands, Words::bf16_pairs>;
    }
}

template <int bands>
Run run_for(int64_t rows, Words words) {
    static_assert(few_rows <= 4, "one case for each number of rows");
    switch (rows) {
        case 1: return run_for<1, bands>(words);
        case 2: return run_for<2, bands>(words);
        case 3: return run_for<3, bands>(words);
        default: return run_for<4, bands>(words);
    }
}

}  // namespace

void multiply_few_rows(const Nf4Matrix &w, Words words, int64_t rows, int64_t k0, int64_t count, int64_t band0,
                       int64_t bands, const float *left, float *sums, bool fresh) {
    constexpr int side_by_side = tile_rows >= 14 ? 4 : 2;
    constexpr int64_t tile_bands = tile_columns / band_rows;
    for (int64_t band = 0; band < bands;) {
        const int64_t n = bands - band >= side_by_side ? side_by_side : 1;
        float *place[side_by_side];
        int64_t stride[side_by_side];
        for (int64_t b = 0; b < n; b++) {
            const int64_t tile_band = (band + b) / tile_bands * tile_bands;
            stride[b] = (bands - tile_band < tile_bands ? bands - tile_band : tile_bands) * band_rows;
            place[b] = sums + tile_band * band_rows * rows + (band + b - tile_band) * band_rows;
        }
        const Bands to = {band0 + band, place, stride};
        (n == 1 ? run_for<1>(rows, words) : run_for<side_by_side>(rows, words))(w, to, k0, count, left, fresh);
        band += n;
    }
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
