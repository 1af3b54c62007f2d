// The element types of nf4j.h on the host: sizes, names, and conversions that round to nearest, ties to even.
//
// What headers of core/ define is static or always inlined: files that are compiled once for each instruction set
// include them, and the linker must not pick one of those copies for all.
#pragma once

#include "nf4j.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace nf4j {

struct bf16 {
    uint16_t bits;
};

struct f16 {
    uint16_t bits;
};

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float to_f32(float value) { return value; }

static inline float to_f32(bf16 value) { return float_of(uint32_t{value.bits} << 16); }

static inline float to_f32(f16 value) {
    const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
    const uint32_t exponent = value.bits >> 10 & 0x1fu;
    const uint32_t fraction = value.bits & 0x3ffu;
    if (exponent == 0x1f) return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in F32
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline bf16 to_bf16(float value) {
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};  // quiet NaN
    return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

static inline f16 to_f16(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu))};
    if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // >= 65520 rounds to infinity
    if (magnitude <
        0x38800000u) {  // below 2^-14: adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded to even
        return {static_cast<uint16_t>(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u))};
    }
    return {static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13))};
}

// The float on whose way to a narrower type nothing is rounded twice: inexact values get an odd last bit, so that none
// looks like a tie that it is not (rounding to odd).
static inline float sticky(double value) {
    const auto nearest = static_cast<float>(value);
    if (static_cast<double>(nearest) == value || nearest != nearest) return nearest;
    const bool away = (nearest > value) == (value > 0);
    return float_of((bits_of(nearest) - (away ? 1 : 0)) | 1);
}

// The value rounded to T.
template <typename T>
[[gnu::always_inline]] inline T from_f32(float value) {
    if constexpr (std::is_same_v<T, float>) {
        return value;
    } else if constexpr (std::is_same_v<T, bf16>) {
        return to_bf16(value);
    } else {
        return to_f16(value);
    }
}

// Bytes of one element; 0 for what is no nf4j_dtype.
static inline int64_t dtype_size(int32_t dtype) {
    switch (dtype) {
        case NF4J_F32:
        case NF4J_I32: return 4;
        case NF4J_F16:
        case NF4J_BF16: return 2;
        case NF4J_I64: return 8;
        case NF4J_U8: return 1;
        default: return 0;
    }
}

// "F32" and so on; null for what is no nf4j_dtype.
static inline const char *dtype_name(int32_t dtype) {
    switch (dtype) {
        case NF4J_F32: return "F32";
        case NF4J_F16: return "F16";
        case NF4J_BF16: return "BF16";
        case NF4J_I32: return "I32";
        case NF4J_I64: return "I64";
        case NF4J_U8: return "U8";
        default: return nullptr;
    }
}

}  // namespace nf4j
