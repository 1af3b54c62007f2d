// Products whose cost is counted, of numbers that the cost does not depend on.
#pragma once

#include "../support.h"
#include "cuda/product.h"

#include <vector>

namespace nf4j::test {

using namespace nf4j::cuda;

// The first element that begins a sector. The vector has 32 bytes more than are needed.
template <typename T>
T *sector(std::vector<T> &all) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(all.data());
    return all.data() + (32 - address % 32) % 32 / sizeof(T);
}

// A weight of any numbers: what a round costs does not depend on them.
struct AnyWeight {
    std::vector<uint8_t> codes;
    std::vector<float> quant_map, absmax;
    Nf4View view;

    AnyWeight(int64_t rows, int64_t cols, int block_shift)
        : codes(static_cast<size_t>(rows * cols / 2 + 32)),
          quant_map(16, 1),
          absmax(static_cast<size_t>((rows * cols) >> block_shift), 1),
          view{sector(codes),
               quant_map.data(),
               absmax.data(),
               nullptr,
               nullptr,
               nullptr,
               nullptr,
               rows,
               cols,
               cols / 64,
               rows / 16,
               block_shift,
               block_shift >= 6,
               absmax.data(),
               block_shift} {
        for (uint8_t &byte : codes) byte = static_cast<uint8_t>(test::integer(0, 255));
    }
};

// c [tokens, outputs] = x * W^T, or with `columns` x * W; x is all ones. Rows of x begin a sector.
inline Product product_of_ones(const AnyWeight &weight, bool columns, int64_t tokens, std::vector<bf16> &x, float *c) {
    const int64_t k = columns ? weight.view.rows : weight.view.cols,
                  outputs = columns ? weight.view.cols : weight.view.rows;
    x.assign(static_cast<size_t>(tokens * k + 16), to_bf16(1));
    Product p;
    p.main.left.data = sector(x);
    p.main.left.is_bf16 = true;
    p.main.left.ld = k;
    p.main.left.outer = tokens;
    p.main.right.is_nf4 = true;
    p.main.right.nf4 = weight.view;
    p.main.right.k_contiguous = !columns;
    p.main.right.outer = outputs;
    p.main.k = k;
    p.c = c;
    p.ldc = outputs;
    p.m = tokens;
    p.n = outputs;
    return p;
}

}  // namespace nf4j::test
