// The sizes of launches, which only the host knows: for native/cuda/evidence, which knows the rest of a kernel from its machine
// code.
#pragma once

#include "simt/engine.h"

namespace nf4j::simt {

// Appends "library offset threads shared_bytes" to the file that NF4J_SIMT_LAUNCHES names, the first time that a kernel is
// launched so. The offset is that of the kernel's function in the library, as nm prints it.
void note_launch(const Grid &grid);

}  // namespace nf4j::simt
