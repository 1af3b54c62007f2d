// Checked accesses of the running CUDA thread.
#pragma once

#include "simt/engine.h"

#include <cstring>

namespace nf4j::simt {

[[noreturn]] void report_misaligned(uint32_t offset, int bytes, Place place);

// The bytes at `offset` of shared memory, after the check of a read or a write.
inline char *shared_bytes(uint32_t offset, int bytes, int alignment, bool write, Place place) {
    Engine &engine = Engine::instance();
    Shadow &shadow = engine.shared();
    if (offset % static_cast<uint32_t>(alignment) != 0) report_misaligned(offset, bytes, place);
    const Shadow::Access access = {offset, bytes, engine.thread().warp, place};
    engine.count({offset, bytes, true, place});
    if (const char *wrong = write ? shadow.write(access) : shadow.read(access)) engine.report(place, "%s", wrong);
    return shadow.memory() + offset;
}

void check_global(const void *address, int bytes, int alignment, Place place);

template <typename T>
T read_shared(uint32_t offset, Place place) {
    T value;
    std::memcpy(&value, shared_bytes(offset, sizeof(T), alignof(T), false, place), sizeof(T));
    return value;
}

template <typename T>
void write_shared(uint32_t offset, const T &value, Place place) {
    std::memcpy(shared_bytes(offset, sizeof(T), alignof(T), true, place), &value, sizeof(T));
}

template <typename T>
T read_global(const void *from, Place place) {
    check_global(from, sizeof(T), alignof(T), place);
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

template <typename T>
void write_global(void *to, const T &value, Place place) {
    check_global(to, sizeof(T), alignof(T), place);
    std::memcpy(to, &value, sizeof(T));
}

}  // namespace nf4j::simt
