#include "weight.h"

#include <algorithm>

namespace conformance {

double normal(Random &random) { return std::normal_distribution<double>()(random); }

int64_t integer(Random &random, int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
}

const std::vector<double> &nf4_values() {
    static const std::vector<double> values = {-1.0,
                                               -0.6961928009986877,
                                               -0.5250730514526367,
                                               -0.39491748809814453,
                                               -0.28444138169288635,
                                               -0.18477343022823334,
                                               -0.09105003625154495,
                                               0.0,
                                               0.07958029955625534,
                                               0.16093020141124725,
                                               0.24611230194568634,
                                               0.33791524171829224,
                                               0.44070982933044434,
                                               0.5626170039176941,
                                               0.7229568362236023,
                                               1.0};
    return values;
}

const std::vector<double> &dynamic_values(bool with_sign) {
    static const auto make = [](bool sign) {
        std::vector<double> values = {0, 1};
        for (int decade = 0; decade < 7; decade++) {
            const int count = sign ? 1 << decade : 2 << decade;  // means of neighbours on an even grid from 0.1 to 1
            for (int i = 0; i < count; i++) {
                const double mean = 0.1 + 0.9 * (i + 0.5) / count;
                values.push_back(mean * std::pow(10, decade - 6));
                if (sign) values.push_back(-values.back());
            }
        }
        std::sort(values.begin(), values.end());
        return values;
    };
    static const std::vector<double> with = make(true), without = make(false);
    return with_sign ? with : without;
}

int64_t nearest(const std::vector<double> &values, double x) {
    const auto above = std::lower_bound(values.begin(), values.end(), x);
    if (above == values.begin()) return 0;
    if (above == values.end()) return static_cast<int64_t>(values.size()) - 1;
    return above - values.begin() - (x - above[-1] < *above - x);
}

Nf4::Nf4(int64_t rows_, int64_t cols_, int64_t block_size_, bool nested_)
    : rows(rows_), cols(cols_), block_size(block_size_), nested(nested_) {
    const auto count = static_cast<size_t>(blocks());
    codes.resize(static_cast<size_t>(rows * cols + 1) / 2);
    quant_map.resize(16);
    absmax.resize(nested ? 0 : count);
    absmax8.resize(nested ? count : 0);
    nested_absmax.resize(nested ? (count + 255) / 256 : 0);
    nested_map.resize(nested ? 256 : 0);
}

namespace {

// The padding of an odd number of elements is bitsandbytes' code of 0.
void fill_codes(Nf4 *w, Random &random) {
    for (uint8_t &pair : w->codes) pair = static_cast<uint8_t>(integer(random, 0, 255));
    w->codes.front() = 0x2d;  // a matrix of one element shall not be 0
    if (w->rows * w->cols % 2) w->codes.back() = static_cast<uint8_t>((w->codes.back() & 0xf0) | 7);
}

}  // namespace

// Neighbouring blocks have scales that differ, or one could be taken for the other.
Nf4 &Nf4::reals(Random &random) {
    fill_codes(this, random);
    for (size_t b = 0; b < absmax8.size(); b++) {
        absmax8[b] = static_cast<uint8_t>(integer(random, 0, 63) + (b % 2 ? 192 : 0));
    }
    const auto magnitude = [&] { return static_cast<float>(std::exp(0.5 * normal(random))); };
    for (size_t i = 0; i < 16; i++) quant_map[i] = static_cast<float>(nf4_values()[i]);
    for (size_t i = 0; i < nested_map.size(); i++) nested_map[i] = static_cast<float>(dynamic_values(true)[i]);
    for (size_t b = 0; b < absmax.size(); b++) {
        absmax[b] = static_cast<float>(integer(random, 1 << 20, 2 << 20)) * (b % 2 ? 0x1p-19f : 0x1p-21f);
    }
    for (float &scale : nested_absmax) scale = 0.5f * magnitude();
    if (nested) nested_offset = magnitude();
    return *this;
}

Nf4 &Nf4::integers(Random &random) {
    fill_codes(this, random);
    for (float &value : quant_map) value = static_cast<float>(integer(random, -3, 3));
    for (size_t i = 0; i < nested_map.size(); i++) nested_map[i] = static_cast<float>(i % 3) - 1;
    for (size_t b = 0; b < absmax8.size(); b++) absmax8[b] = static_cast<uint8_t>(b % 3 + 3 * integer(random, 0, 84));
    for (size_t b = 0; b < absmax.size(); b++) absmax[b] = static_cast<float>(1 << b % 3);
    for (float &scale : nested_absmax) scale = static_cast<float>(1 << integer(random, 0, 1));
    if (nested) nested_offset = 3;
    return *this;
}

int Nf4::code(int64_t i, int64_t j) const {
    const int64_t element = i * cols + j;
    const uint8_t pair = codes[static_cast<size_t>(element / 2)];
    return element % 2 ? pair & 15 : pair >> 4;
}

double Nf4::scale(int64_t block) const {
    const auto b = static_cast<size_t>(block);
    if (!nested) return absmax[b];
    const double product = static_cast<double>(nested_map[absmax8[b]]) * nested_absmax[b / 256];
    return rounded(NF4J_F32, rounded(NF4J_F32, product) + nested_offset);
}

double Nf4::at(int64_t i, int64_t j) const {
    return rounded(NF4J_F32, quant_map[static_cast<size_t>(code(i, j))] * scale((i * cols + j) / block_size));
}

nf4j_nf4_state Nf4::state() {
    nf4j_nf4_state s = {};
    s.struct_size = sizeof s;
    s.nested_offset = nested_offset;
    s.rows = rows;
    s.cols = cols;
    s.block_size = block_size;
    s.codes = codes.data();
    s.absmax = nested ? nullptr : absmax.data();
    s.absmax8 = nested ? absmax8.data() : nullptr;
    s.quant_map = quant_map.data();
    s.nested_absmax = nested ? nested_absmax.data() : nullptr;
    s.nested_map = nested ? nested_map.data() : nullptr;
    return s;
}

bool Nf4::operator==(const Nf4 &o) const {
    return codes == o.codes && absmax8 == o.absmax8 && absmax == o.absmax && nested_absmax == o.nested_absmax &&
           nested_map == o.nested_map && quant_map == o.quant_map && nested_offset == o.nested_offset;
}

}  // namespace conformance
