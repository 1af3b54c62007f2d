#include "simt/access.h"

namespace nf4j::simt {

void report_misaligned(uint32_t offset, int bytes, Place place) {
    Engine::instance().report(place, "misaligned: %d bytes at %u of shared memory", bytes, offset);
}

void check_global(const void *address, int bytes, int alignment, Place place) {
    Engine::instance().count({reinterpret_cast<uintptr_t>(address), bytes, false, place});
    if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(alignment) == 0) return;
    Engine::instance().report(place, "misaligned: %d bytes at %p", bytes, address);
}

}  // namespace nf4j::simt
