// Looks up 4-bit codes, and the 8-bit codes of nested scales. A tile of codes is 16 rows x 8 columns of a weight in 16 words: word r has row r, column j in
// its bits 4j ... 4j + 3.
#pragma once

#include "cpu/isa/simd.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

// Vectors across 16 rows or columns.
constexpr int vecs16 = 16 / lanes;

#if defined(__AVX512F__)

struct CodeMap {
    __m512 values;
};

inline CodeMap load_map(const float *map) { return {_mm512_loadu_ps(map)}; }

// vpermps reads the low four bits of each index only, so nothing needs masking.
inline Vec look_up(const CodeMap &map, __m512i codes) { return {_mm512_permutexvar_ps(codes, map.values)}; }

// Column j of the tile, rows h * lanes ...
inline Vec tile_column(const CodeMap &map, const uint32_t *tile, int j, int h) {
    const __m512i words = _mm512_load_si512(tile + h * lanes);
    return look_up(map, _mm512_srli_epi32(words, static_cast<unsigned>(4 * j)));
}

// map[codes[0]], map[codes[1]], ...
inline Vec look_up_bytes(const float *map, const uint8_t *codes) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(codes));
    return {_mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), map, 4)};
}

// Row r of two neighbouring tiles, columns h * lanes ...
inline Vec tile_row(const CodeMap &map, const uint32_t *left, const uint32_t *right, int r, int) {
    const __m512i shifts = _mm512_set_epi32(28, 24, 20, 16, 12, 8, 4, 0, 28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i words =
        _mm512_mask_set1_epi32(_mm512_set1_epi32(static_cast<int>(left[r])), 0xff00, static_cast<int>(right[r]));
    return look_up(map, _mm512_srlv_epi32(words, shifts));
}

#if defined(__AVX512BF16__)
// Columns 0 ... 7 of rows r and r + 1, r even, times each row's scale: the two elements of a column side by side.
inline Vec tile_row_pair(const CodeMap &map, const uint32_t *tile, const float *scales, int r) {
    const __m512i shifts = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
    const __m128i words = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(tile + r));
    const __m128i pair = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(scales + r));
    const Vec scale = {_mm512_broadcast_f32x2(_mm_castsi128_ps(pair))};
    return look_up(map, _mm512_srlv_epi32(_mm512_broadcast_i32x2(words), shifts)) * scale;
}
#endif

#elif defined(__AVX2__)

struct CodeMap {
    __m256 low, high;
};

inline CodeMap load_map(const float *map) { return {_mm256_loadu_ps(map), _mm256_loadu_ps(map + 8)}; }

// vpermps reads the low three bits of each index, blendv the sign bit: bit 3 of the code goes there.
inline Vec look_up(const CodeMap &map, __m256i codes) {
    const __m256 upper_half = _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28));
    return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(map.low, codes), _mm256_permutevar8x32_ps(map.high, codes),
                             upper_half)};
}

inline Vec tile_column(const CodeMap &map, const uint32_t *tile, int j, int h) {
    const __m256i words = _mm256_load_si256(reinterpret_cast<const __m256i *>(tile + h * lanes));
    return look_up(map, _mm256_srli_epi32(words, 4 * j));
}

inline Vec look_up_bytes(const float *map, const uint8_t *codes) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(codes));
    return {_mm256_i32gather_ps(map, _mm256_cvtepu8_epi32(bytes), 4)};
}

inline Vec tile_row(const CodeMap &map, const uint32_t *left, const uint32_t *right, int r, int h) {
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i words = _mm256_set1_epi32(static_cast<int>((h == 0 ? left : right)[r]));
    return look_up(map, _mm256_srlv_epi32(words, shifts));
}

#else

struct CodeMap {
    const float *values;
};

inline CodeMap load_map(const float *map) { return {map}; }

inline Vec tile_column(const CodeMap &map, const uint32_t *tile, int j, int h) {
    const uint32_t *words = tile + h * lanes;
    return {Float4{map.values[words[0] >> 4 * j & 15], map.values[words[1] >> 4 * j & 15],
                   map.values[words[2] >> 4 * j & 15], map.values[words[3] >> 4 * j & 15]}};
}

inline Vec look_up_bytes(const float *map, const uint8_t *codes) {
    return {Float4{map[codes[0]], map[codes[1]], map[codes[2]], map[codes[3]]}};
}

inline Vec tile_row(const CodeMap &map, const uint32_t *left, const uint32_t *right, int r, int h) {
    const uint32_t word = (h < 2 ? left : right)[r] >> 16 * (h & 1);
    return {Float4{map.values[word & 15], map.values[word >> 4 & 15], map.values[word >> 8 & 15],
                   map.values[word >> 12 & 15]}};
}

#endif

}  // namespace nf4j::cpu::NF4J_ISA_NAME
