// Which instruction sets this machine runs.
#pragma once

#include <cstdint>

namespace nf4j::cpu {

// "avx2" and so on; null for what is no concrete nf4j_isa.
const char *isa_name(int32_t isa);

// Null when processor and operating system support `isa`, else what is missing.
const char *isa_missing(int32_t isa);

}  // namespace nf4j::cpu
