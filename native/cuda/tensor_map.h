// How a tensor copy of sm_90a finds a matrix: what cuTensorMapEncodeTiled makes, or on simt a struct that says the same.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda.h>
#endif

namespace nf4j::cuda {

#if defined(__CUDACC__)
using TensorMap = CUtensorMap;
#else
struct TensorMap {
    const char *data;
    int64_t rows;
    int64_t cols;
    int64_t row_bytes;
    int box_rows;
};
#endif

// A box is box_rows x 64 elements of BF16: 128 bytes, the span of the swizzle.
constexpr int box_cols = 64;

// The map of a BF16 matrix whose base and rows are 16-byte aligned, box_rows <= 256. Elements of a box that lie outside
// of the matrix are copied as 0. (device.cu, simt/device.cpp)
int32_t make_tensor_map(const void *data, int64_t rows, int64_t cols, int64_t ld, int box_rows, TensorMap *map);

}  // namespace nf4j::cuda
