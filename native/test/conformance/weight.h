// NF4 weights on the host, as bitsandbytes stores them, and the tables that quantization uses.
#pragma once

#include "number.h"

#include <random>
#include <vector>

namespace conformance {

using Random = std::mt19937_64;

double normal(Random &random);
int64_t integer(Random &random, int64_t low, int64_t high);

// The 16 values of NF4 (Dettmers et al., "QLoRA", appendix E).
const std::vector<double> &nf4_values();
// The 256 values of the 8-bit dynamic data type, ascending (Dettmers et al., "8-bit optimizers via block-wise
// quantization"), in double.
const std::vector<double> &dynamic_values(bool with_sign);
// An entry of a table that was computed in F32: a power of ten, two points of a grid, their mean and the product are
// rounded.
inline Real from_table(double value) { return {value, 4 * f32_unit * std::fabs(value)}; }
// The number of the value nearest to x.
int64_t nearest(const std::vector<double> &values, double x);

struct Nf4 {
    int64_t rows, cols, block_size;
    bool nested;  // double quantization
    std::vector<uint8_t> codes, absmax8;
    std::vector<float> absmax, nested_absmax, nested_map, quant_map;
    float nested_offset = 0;

    Nf4(int64_t rows, int64_t cols, int64_t block_size, bool nested);

    // Codes and scales at random: real ones, or integers and powers of two throughout, so that sums with small integers
    // are exact.
    Nf4 &reals(Random &random);
    Nf4 &integers(Random &random);

    int64_t blocks() const { return (rows * cols + block_size - 1) / block_size; }
    int code(int64_t i, int64_t j) const;
    // Product, then sum, each rounded to F32, as the header orders.
    double scale(int64_t block) const;
    double at(int64_t i, int64_t j) const;
    nf4j_nf4_state state();
    bool operator==(const Nf4 &o) const;
};

}  // namespace conformance
