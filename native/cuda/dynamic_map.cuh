// 8-bit codes of an ascending map of 256 values.
#pragma once

#include "cuda/cuda.h"

namespace nf4j::cuda {

// The code of the value nearest to x; of two equally near ones the even code, as core/nf4_tables.h has it. map(i) is
// value i.
template <class Map>
__device__ inline uint8_t nearest_code(const Map &map, float x) {
    int above = 0;  // the first value >= x, or the last one
#pragma unroll
    for (int step = 128; step > 0; step /= 2) {
        if (map(above + step - 1) < x) above += step;
    }
    if (above == 0) return 0;
    const float to_low = x - map(above - 1), to_high = map(above) - x;
    const bool high = to_low == to_high ? above % 2 == 0 : to_high < to_low;
    return static_cast<uint8_t>(high ? above : above - 1);
}

}  // namespace nf4j::cuda
