// The operations of nf4j.h as this backend does them; backend.cu puts them into its table.
#pragma once

#include "core/backend.h"

namespace nf4j::cuda {

// memory.cu
decltype(nf4j_memory_copy) memory_copy;
decltype(nf4j_memory_fill) memory_fill;
decltype(nf4j_memory_cast) memory_cast;
decltype(nf4j_memory_add) memory_add;

}  // namespace nf4j::cuda
