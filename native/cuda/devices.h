// Devices whose rates are known: what nf4j_explain computes floor times with, and what simt can play.
#pragma once

#include "cuda/tiles.h"

#include <cstring>

namespace nf4j::cuda {

struct KnownDevice {
    Traits traits;     // the name: part of what the driver says
    double bandwidth;  // bytes per second
    double bf16;       // operations per second on tensor cores, sums in F32
    double f32;
};

// H100: what copies and cuBLAS reach. Others: the data sheets.
constexpr KnownDevice known_devices[] = {
    {{"H200", 90, 132}, 4.3e12, 790e12, 67e12},       {{"H100", 90, 132}, 3.0e12, 790e12, 67e12},
    {{"A100", 80, 108}, 2.04e12, 312e12, 19.5e12},    {{"L40S", 89, 142}, 864e9, 362e12, 91.6e12},
    {{"RTX 4090", 89, 128}, 1008e9, 165e12, 82.6e12}, {{"RTX 3090", 86, 82}, 936e9, 71e12, 35.6e12},
    {{"A10", 86, 72}, 600e9, 125e12, 31.2e12},
};

// Null where none of them is meant.
inline const KnownDevice *find_known_device(const char *name) {
    for (const KnownDevice &device : known_devices) {
        if (std::strstr(name, device.traits.name)) return &device;
    }
    return nullptr;
}

}  // namespace nf4j::cuda
