#include "number.h"

#include <algorithm>
#include <cstring>

namespace conformance {

namespace {

struct Format {
    int digits;  // significant bits, the hidden one included
    int lowest;  // exponent of the smallest subnormal number
    double largest;
};

Format format_of(int32_t dtype) {
    switch (dtype) {
        case NF4J_F16: return {11, -24, 65504};
        case NF4J_BF16: return {8, -133, 0x1.fep127};
        default: return {24, -149, 0x1.fffffep127};
    }
}

// Exponent of the last digit of a number of this size.
int unit_of(Format format, double value) {
    return value == 0 || !std::isfinite(value) ? format.lowest
                                               : std::max(std::ilogb(value) + 1 - format.digits, format.lowest);
}

// Bits of a half-precision number: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
uint16_t half_bits(double value) {
    const uint32_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00);
    if (std::isinf(value)) return static_cast<uint16_t>(sign | 0x7c00);
    int exponent = -14;
    if (std::fabs(value) >= 0x1p-14) exponent = std::ilogb(value);
    const auto fraction =
        static_cast<uint32_t>(std::ldexp(std::fabs(value), 10 - exponent));  // 1024 ... 2047 when normal
    return static_cast<uint16_t>(sign |
                                 (fraction < 1024 ? fraction : static_cast<uint32_t>(exponent + 14) * 1024 + fraction));
}

double half_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                             : exponent > 0 ? std::ldexp(1024 + fraction, exponent - 25)
                                            : std::ldexp(fraction, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

template <typename T>
void put(char *to, T value) {
    std::memcpy(to, &value, sizeof value);
}

template <typename T>
T get(const char *from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

}  // namespace

int64_t size_of(int32_t dtype) { return (dtype & 0xff) / 8; }

const char *name_of(int32_t dtype) {
    switch (dtype) {
        case NF4J_F32: return "f32";
        case NF4J_F16: return "f16";
        case NF4J_BF16: return "bf16";
        case NF4J_I32: return "i32";
        case NF4J_I64: return "i64";
        default: return "u8";
    }
}

bool is_float(int32_t dtype) { return dtype == NF4J_F32 || dtype == NF4J_F16 || dtype == NF4J_BF16; }

double half_unit(int32_t dtype, double value) {
    if (!is_float(dtype)) return 0.5;
    return std::ldexp(0.5, unit_of(format_of(dtype), value));
}

double rounded(int32_t dtype, double value) {
    if (!is_float(dtype)) return std::nearbyint(value);
    if (value == 0 || !std::isfinite(value)) return value;
    const Format format = format_of(dtype);
    const int unit = unit_of(format, value);
    const double result = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
    return std::fabs(result) > format.largest ? std::copysign(INFINITY, value) : result;
}

void encode(int32_t dtype, double value, char *to) {
    switch (dtype) {
        case NF4J_F32: return put(to, static_cast<float>(value));
        case NF4J_F16: return put(to, half_bits(value));
        case NF4J_BF16: {
            char bytes[4];
            put(bytes, static_cast<float>(value));
            return put(to, static_cast<uint16_t>(get<uint32_t>(bytes) >> 16));
        }
        case NF4J_I32: return put(to, static_cast<int32_t>(value));
        case NF4J_I64: return put(to, static_cast<int64_t>(value));
        default: return put(to, static_cast<uint8_t>(value));
    }
}

double decode(int32_t dtype, const char *from) {
    switch (dtype) {
        case NF4J_F32: return static_cast<double>(get<float>(from));
        case NF4J_F16: return half_value(get<uint16_t>(from));
        case NF4J_BF16: {
            char bytes[4];
            put(bytes, static_cast<uint32_t>(get<uint16_t>(from)) << 16);
            return static_cast<double>(get<float>(bytes));
        }
        case NF4J_I32: return get<int32_t>(from);
        case NF4J_I64: return static_cast<double>(get<int64_t>(from));
        default: return get<uint8_t>(from);
    }
}

}  // namespace conformance
