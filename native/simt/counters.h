// Bank conflicts and uncoalesced accesses of a grid, counted with NF4J_SIMT_COUNT (simt/engine.h).
//
// What the lanes of a warp did between two synchronisations is matched by order and place: the i-th access of each lane
// is one instruction of the warp. It is a model: a compiler may merge or move accesses.
#pragma once

#include "simt/place.h"

#include <cstdint>
#include <vector>

namespace nf4j::simt {

struct Counters {
    int64_t shared_accesses = 0;  // of warps
    int64_t bank_conflicts = 0;   // passes through shared memory beyond those that the bytes need
    int64_t global_accesses = 0;
    int64_t sectors = 0;         // of 32 bytes that were touched
    int64_t needed_sectors = 0;  // that would have held the bytes
    int64_t mma = 0;             // instructions of warps on tensor cores
};

struct CountedAccess {
    uint64_t address;  // in shared memory, an offset
    int bytes;         // 0: the instruction does nothing for this lane
    bool shared;
    Place place;
};

// Adds what 32 lanes did, and empties their lists.
void count_warp(std::vector<CountedAccess> *const (&lanes)[32], Counters *counters);

}  // namespace nf4j::simt
