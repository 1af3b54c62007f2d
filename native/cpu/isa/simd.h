// A vector of F32 lanes for one instruction set: 16 lanes (AVX-512), 8 (AVX2) or 4 (NEON and plain C++).
//
// Files in isa/ are compiled once for each instruction set, inside namespace nf4j::cpu::NF4J_ISA_NAME. They must not
// define or instantiate anything inline outside that namespace (std:: included): the linker keeps one copy of such a
// function, and it might be the one with AVX-512 in it. `make check-isa` looks for them.
//
// Loads and stores take unaligned pointers to F32, BF16 or F16; with a count n < lanes they touch n elements, and the
// other lanes are zero. Stores round to nearest, ties to even.
#pragma once

#include "core/dtype.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
// GCC 12 warns of its own AVX-512 header (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace nf4j::cpu::NF4J_ISA_NAME {

#if defined(__AVX512F__)

constexpr int64_t lanes = 16;

struct Vec {
    __m512 v;
};
struct Mask {
    __mmask16 m;
};

inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float *p) { return {_mm512_loadu_ps(p)}; }
inline void store(float *p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m.m, no.v, yes.v)}; }
inline float reduce_add(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float reduce_max(Vec a) { return _mm512_reduce_max_ps(a.v); }
// a * 2^n for integral n.
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline Vec load(const float *p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store(float *p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }

inline Vec from_bf16_bits(__m256i bits) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
inline __m256i to_bf16_bits(Vec a) {
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i lowest = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), lowest);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}
inline Vec load(const bf16 *p) { return from_bf16_bits(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))); }
inline Vec load(const bf16 *p, int64_t n) { return from_bf16_bits(_mm256_maskz_loadu_epi16(first(n), p)); }
inline void store(bf16 *p, Vec a) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), to_bf16_bits(a)); }
inline void store(bf16 *p, Vec a, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), to_bf16_bits(a)); }

constexpr int nearest_even = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
inline Vec load(const f16 *p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)))}; }
inline Vec load(const f16 *p, int64_t n) { return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p))}; }
inline void store(f16 *p, Vec a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph(a.v, nearest_even));
}
inline void store(f16 *p, Vec a, int64_t n) {
    _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(a.v, nearest_even));
}

#elif defined(__AVX2__)

constexpr int64_t lanes = 8;

struct Vec {
    __m256 v;
};
struct Mask {
    __m256 m;
};

inline Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline Vec load(const float *p) { return {_mm256_loadu_ps(p)}; }
inline void store(float *p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_ps(no.v, yes.v, m.m)}; }
inline float reduce_add(Vec a) {
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps(d, d, 1)));
}
inline float reduce_max(Vec a) {
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_shuffle_ps(d, d, 1)));
}
inline Vec power_of_two(__m256i n) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23))};
}
// Two factors, since 2^n itself may lie outside F32.
inline Vec scale_by_power(Vec a, Vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return a * power_of_two(half) * power_of_two(_mm256_sub_epi32(whole, half));
}

inline __m256i first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec load(const float *p, int64_t n) { return {_mm256_maskload_ps(p, first(n))}; }
inline void store(float *p, Vec a, int64_t n) { _mm256_maskstore_ps(p, first(n), a.v); }

inline Vec from_bf16_bits(__m128i bits) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
}
inline __m128i to_bf16_bits(Vec a) {
    const __m256i bits = _mm256_castps_si256(a.v);
    const __m256i lowest = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), lowest);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
    const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08));
}
inline Vec load(const bf16 *p) { return from_bf16_bits(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p))); }
inline void store(bf16 *p, Vec a) { _mm_storeu_si128(reinterpret_cast<__m128i *>(p), to_bf16_bits(a)); }
inline Vec load(const f16 *p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)))}; }
inline void store(f16 *p, Vec a) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p),
                     _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#else

constexpr int64_t lanes = 4;

// GCC's vector extension, which clang has too: SSE2 on x86-64, NEON on aarch64.
typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));

struct Vec {
    Float4 v;
};
struct Mask {
    Int4 m;
};

inline Vec broadcast(float x) { return {Float4{x, x, x, x}}; }
inline Vec load(const float *p) {
    Vec a;
    std::memcpy(&a, p, sizeof a);
    return a;
}
inline void store(float *p, Vec a) { std::memcpy(p, &a, sizeof a); }
inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
#if defined(__aarch64__)
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
#else
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }  // no FMA here: two roundings
#endif
inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec sqrt(Vec a) {
    for (int i = 0; i < 4; i++) a.v[i] = __builtin_sqrtf(a.v[i]);
    return a;
}
inline Vec abs(Vec a) {
    for (int i = 0; i < 4; i++) a.v[i] = __builtin_fabsf(a.v[i]);
    return a;
}
// For |a| < 2^22: adding 1.5 * 2^23 leaves no room for a fraction.
inline Vec round(Vec a) { return {(a.v + 0x1.8p23f) - 0x1.8p23f}; }
inline Mask operator<(Vec a, Vec b) { return {a.v < b.v}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {m.m ? yes.v : no.v}; }
inline float reduce_add(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float reduce_max(Vec a) {
    const float x = a.v[0] > a.v[2] ? a.v[0] : a.v[2];
    const float y = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
    return x > y ? x : y;
}
inline float power_of_two(int n) { return float_of(static_cast<uint32_t>(n + 127) << 23); }
// Two factors, since 2^n itself may lie outside F32.
inline Vec scale_by_power(Vec a, Vec n) {
    for (int i = 0; i < 4; i++) {
        const int whole = static_cast<int>(n.v[i]);
        a.v[i] = a.v[i] * power_of_two(whole >> 1) * power_of_two(whole - (whole >> 1));
    }
    return a;
}

inline Vec load(const float *p, int64_t n) {
    float values[4] = {0, 0, 0, 0};
    for (int64_t i = 0; i < n; i++) values[i] = p[i];
    return load(values);
}
inline void store(float *p, Vec a, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = a.v[i];
}
inline Vec load(const bf16 *p) { return {Float4{to_f32(p[0]), to_f32(p[1]), to_f32(p[2]), to_f32(p[3])}}; }
inline Vec load(const f16 *p) { return {Float4{to_f32(p[0]), to_f32(p[1]), to_f32(p[2]), to_f32(p[3])}}; }
inline void store(bf16 *p, Vec a) {
    for (int i = 0; i < 4; i++) p[i] = to_bf16(a.v[i]);
}
inline Vec rounded_to_bf16(Vec a) {
    for (int i = 0; i < 4; i++) a.v[i] = to_f32(to_bf16(a.v[i]));
    return a;
}
inline void store(f16 *p, Vec a) {
    for (int i = 0; i < 4; i++) p[i] = to_f16(a.v[i]);
}

#endif

#if !defined(__AVX512F__)
// 16-bit elements have no masked load or store below AVX-512.
template <typename T>
inline Vec load(const T *p, int64_t n) {
    T values[lanes] = {};
    std::memcpy(values, p, static_cast<size_t>(n) * sizeof(T));
    return load(values);
}
template <typename T>
inline void store(T *p, Vec a, int64_t n) {
    T values[lanes];
    store(values, a);
    std::memcpy(p, values, static_cast<size_t>(n) * sizeof(T));
}
#endif

#if defined(__AVX2__)
inline Vec rounded_to_bf16(Vec a) { return from_bf16_bits(to_bf16_bits(a)); }
#endif

// Products of BF16 pairs: each lane holds two BF16, the first in its low half.
#if defined(__AVX512BF16__)
constexpr bool has_bf16_pairs = true;
inline Vec dot_pairs(Vec a, Vec b, Vec sum) {
    return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
}
// Lane i becomes the pair (first[i], second[i]), rounded.
inline Vec pair_up(Vec first, Vec second) {
    const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second.v, first.v));
    const __m512i order =
        _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008, 0x170007,
                         0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
    return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves))};
}
// Lane i becomes the pair of elements 2i and 2i + 1 of low followed by high, rounded.
inline Vec neighbours(Vec low, Vec high) { return {reinterpret_cast<__m512>(_mm512_cvtne2ps_pbh(high.v, low.v))}; }
#else
constexpr bool has_bf16_pairs = false;
inline Vec dot_pairs(Vec, Vec, Vec sum) { return sum; }
inline Vec pair_up(Vec first, Vec) { return first; }
inline Vec neighbours(Vec low, Vec) { return low; }
#endif

// 0, 1, 2, ...
inline Vec lane_numbers() {
    static constexpr float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return load(numbers);
}

inline Vec zero() { return broadcast(0.0f); }

// e^x within about one unit in the last place; 0 below -104, infinity above 88.7, NaN for NaN. Cody-Waite reduction by
// ln 2 and the minimax polynomial of Cephes' expf.
inline Vec exp(Vec x) {
    const Vec clamped = min(broadcast(89.0f), max(broadcast(-110.0f), x));
    const Vec n = round(clamped * broadcast(1.44269504f));
    Vec r = fma(n, broadcast(-0.693359375f), clamped);
    r = fma(n, broadcast(2.12194440e-4f), r);
    Vec p = broadcast(1.9875691500e-4f);
    p = fma(p, r, broadcast(1.3981999507e-3f));
    p = fma(p, r, broadcast(8.3334519073e-3f));
    p = fma(p, r, broadcast(4.1665795894e-2f));
    p = fma(p, r, broadcast(1.6666665459e-1f));
    p = fma(p, r, broadcast(5.0000001201e-1f));
    p = fma(p, r * r, r + broadcast(1.0f));
    return scale_by_power(p, n);
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
