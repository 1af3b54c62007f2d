// What stands for a GPU's driver, which may refuse any launch, copy or wait.
#pragma once

#include <cstdint>

namespace nf4j::simt {

// NF4J_OK, or the status that `what` ends with and its text as the last error.
int32_t ask_driver(const char *what);

}  // namespace nf4j::simt
