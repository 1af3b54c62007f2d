// Transposes a square of lanes x lanes words in registers.
#pragma once

#include "cpu/isa/simd.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

#if defined(__AVX512F__)

inline void transpose(Vec (&rows)[16]) {
    __m512 a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
        a[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
    }
    const auto pairs = [](__m512 x, __m512 y, bool high) {
        const __m512d p = _mm512_castps_pd(x), q = _mm512_castps_pd(y);
        return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(p, q) : _mm512_unpacklo_pd(p, q));
    };
    for (int i = 0; i < 16; i += 4) {  // b[i + c]: column c of rows i ... i + 3 within each quarter
        b[i] = pairs(a[i], a[i + 2], false);
        b[i + 1] = pairs(a[i], a[i + 2], true);
        b[i + 2] = pairs(a[i + 1], a[i + 3], false);
        b[i + 3] = pairs(a[i + 1], a[i + 3], true);
    }
    for (int c = 0; c < 4; c++) {  // column c of quarter q is column 4q + c: a 4 x 4 transpose of quarters
        const __m512 low01 = _mm512_shuffle_f32x4(b[c], b[c + 4], 0x88);
        const __m512 high01 = _mm512_shuffle_f32x4(b[c], b[c + 4], 0xdd);
        const __m512 low23 = _mm512_shuffle_f32x4(b[c + 8], b[c + 12], 0x88);
        const __m512 high23 = _mm512_shuffle_f32x4(b[c + 8], b[c + 12], 0xdd);
        rows[c].v = _mm512_shuffle_f32x4(low01, low23, 0x88);
        rows[c + 4].v = _mm512_shuffle_f32x4(high01, high23, 0x88);
        rows[c + 8].v = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        rows[c + 12].v = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
}

#elif defined(__AVX2__)

inline void transpose(Vec (&rows)[8]) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(rows[i].v, rows[i + 1].v);
        a[i + 1] = _mm256_unpackhi_ps(rows[i].v, rows[i + 1].v);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int c = 0; c < 4; c++) {
        rows[c].v = _mm256_permute2f128_ps(b[c], b[c + 4], 0x20);
        rows[c + 4].v = _mm256_permute2f128_ps(b[c], b[c + 4], 0x31);
    }
}

#else

inline void transpose(Vec (&rows)[4]) {
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            const float upper = rows[j].v[i];
            rows[j].v[i] = rows[i].v[j];
            rows[i].v[j] = upper;
        }
    }
}

#endif

}  // namespace nf4j::cpu::NF4J_ISA_NAME
