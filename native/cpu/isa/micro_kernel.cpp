#include "cpu/isa/micro_kernel.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

template <int rows, int vecs, bool pairs>
void run(int64_t steps, const float *left, const float *right, float *sums, bool fresh) {
    Vec sum[rows][vecs];
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < vecs; j++) sum[i][j] = fresh ? zero() : load(sums + (i * vecs + j) * lanes);
    }
    for (int64_t k = 0; k < steps; k++) {
        Vec b[vecs];
        for (int j = 0; j < vecs; j++) b[j] = load(right + j * lanes);
        for (int i = 0; i < rows; i++) {
            const Vec a = broadcast(left[i]);
            for (int j = 0; j < vecs; j++) sum[i][j] = pairs ? dot_pairs(a, b[j], sum[i][j]) : fma(a, b[j], sum[i][j]);
        }
        left += rows;
        right += vecs * lanes;
    }
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < vecs; j++) store(sums + (i * vecs + j) * lanes, sum[i][j]);
    }
}

template <int rows>
MicroKernel find(int64_t wanted, bool wide, bool pairs) {
    if constexpr (rows == 0) {
        return nullptr;
    } else {
        if (wanted != rows) return find<rows - 1>(wanted, wide, pairs);
        constexpr int narrow_vecs = 16 / lanes, wide_vecs = tile_columns / lanes;
        if (has_bf16_pairs && pairs)
            return wide ? run<rows, wide_vecs, has_bf16_pairs> : run<rows, narrow_vecs, has_bf16_pairs>;
        return wide ? run<rows, wide_vecs, false> : run<rows, narrow_vecs, false>;
    }
}

}  // namespace

MicroKernel micro_kernel(int64_t rows, int64_t width, bool pairs) {
    return find<tile_rows>(rows, width == tile_columns, pairs);
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
