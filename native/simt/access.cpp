#include "simt/access.h"

namespace nf4j::simt {

char *shared_bytes(uint32_t offset, int bytes, int alignment, bool write, Place place) {
    Engine &engine = Engine::instance();
    Shadow &shadow = engine.shared();
    if (offset % static_cast<uint32_t>(alignment) != 0) {
        engine.report(place, "misaligned: %d bytes at %u of shared memory", bytes, offset);
    }
    const Shadow::Access access = {offset, bytes, engine.thread().warp, place};
    if (const char *wrong = write ? shadow.write(access) : shadow.read(access)) engine.report(place, "%s", wrong);
    return shadow.memory() + offset;
}

void check_global(const void *address, int bytes, int alignment, Place place) {
    if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(alignment) == 0) return;
    Engine::instance().report(place, "misaligned: %d bytes at %p", bytes, address);
}

}  // namespace nf4j::simt
