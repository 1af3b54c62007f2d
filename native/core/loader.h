// The backends that are libraries of their own: libnf4j-cuda.so and libnf4j-simt.so beside libnf4j.
#pragma once

#include "core/backend.h"

namespace nf4j {

// The table of backend `id` (CUDA or SIMT), loading its library on the first call; null when that fails, with the
// reason in text[capacity].
const Backend *load_backend(int32_t id, char *text, int64_t capacity);

}  // namespace nf4j
