// What Hopper's asynchronous units have to do for a block, and when they do it.
//
// A copy lands as late as the kernel allows: when all threads wait, or, under an adversarial schedule, at any time. A
// product reads its tile when it is issued and again when it is waited for, and writes its sums at the latter.
#pragma once

#include "simt/place.h"
#include "simt/shadow.h"

#include <cstdint>
#include <random>
#include <vector>

namespace nf4j::simt {

class Engine;

struct Mbarrier {
    uint32_t offset;  // in shared memory
    int arrivals;     // that end a phase
    int missing;      // of this phase
    int64_t bytes;    // expected and not arrived
    uint32_t phase;
    int agent;
    bool published;           // to the asynchronous proxy
    Shadow::Clock arrived;    // what lies before the arrivals so far
    Shadow::Clock completed;  // the same at the end of the last phase
};

// A copy of a box of a matrix in rows of 128 bytes with swizzled chunks.
struct BoxCopy {
    uint32_t to;
    const char *data;
    int64_t rows, row_bytes, pitch;
    int64_t row, byte;  // where the box begins
    int box_rows;
    uint32_t mbarrier;
    Place place;
};

// One warp's part of a product of its warpgroup.
struct WarpProduct {
    static constexpr int most_cols = 256;

    int cols;
    float *sums[32];  // cols / 2 of each lane
    uint32_t a[32][4];
    uint64_t tile;  // descriptor
    Place place;
    uint64_t group;
};

// The products of a warp. Groups are counted from 1.
struct WarpProducts {
    std::vector<WarpProduct> queue;  // oldest first
    uint64_t committed = 0;
    uint64_t completed = 0;
};

class Async {
public:
    static constexpr int box_pitch = 128;

    explicit Async(Engine &engine) : engine_(engine) {}

    void begin_block(int warps);

    // ---- mbarriers, for the running thread
    void init(uint32_t offset, int arrivals, Place place);
    void publish();
    void arrive(uint32_t offset, int64_t bytes, Place place);
    void wait(uint32_t offset, uint32_t parity, Place place);

    // ---- copies
    void copy(const BoxCopy &copy);
    // Lets the oldest copy land, or any. False when there is none.
    bool land_oldest();
    bool land_any(std::mt19937_64 &random);

    // ---- products, for the running warp
    void issue(const WarpProduct &product);
    void commit();
    void wait_groups(int left);
    const WarpProducts &products() const;

    // Ends the grid where somebody ends who has not waited for what he began.
    void end_thread();
    void end_block();
    // The state of a barrier for a report.
    int describe(uint32_t offset, char *text, size_t capacity) const;

private:
    Mbarrier *find(uint32_t offset);
    Mbarrier &at(uint32_t offset, Place place);
    void settle(Mbarrier &barrier);
    void land(size_t number);
    void complete(const WarpProduct &product);
    const char *tile_chunk(const WarpProduct &product, int row, int chunk);

    Engine &engine_;
    std::vector<Mbarrier> mbarriers_;
    std::vector<BoxCopy> copies_;  // oldest first
    std::vector<WarpProducts> products_;
};

}  // namespace nf4j::simt
