// The dynamic shared memory of a block, and what its warps did to it.
//
// Every two bytes remember their last writer and when each warp has read them. Time is counted in stamps: a warp gets
// a new one at each barrier, and learns up to which stamp every other warp's accesses lie before its own. An access
// that is newer than that, by another warp, to the same bytes, with a write among the two, is a race: on a device it
// may happen in either order. Asynchronous copies write as agents of their own, one for each mbarrier, so that only who
// has waited for the right one may read.
#pragma once

#include "simt/place.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nf4j::simt {

class Shadow {
public:
    static constexpr int max_warps = 32;
    static constexpr int max_agents = 64;  // warps, then mbarriers

    // Up to which stamp the accesses of each agent are known.
    using Clock = std::array<uint32_t, max_agents>;

    struct Access {
        uint32_t offset;
        int bytes;
        int warp;
        Place place;
    };

    ~Shadow();

    // A new block: memory is poisoned and unwritten. False without memory.
    bool begin_block(int64_t bytes, int warps);
    // Another agent of this block, or -1 when there are too many.
    int add_agent() { return agents_ < max_agents ? agents_++ : -1; }
    // All accesses of the warps of `mask` before lie before all of theirs from now on.
    void synchronize(uint32_t mask);
    // The two halves of that: what lies before the warp now is added to the clock; lies before the warp from now on.
    void release(int warp, Clock *clock);
    void acquire(int warp, const Clock &clock);
    // What the warp wrote before may be read by async_read().
    void fence_async(int warp);

    char *memory() { return memory_; }
    int64_t bytes() const { return bytes_; }

    // Null, or what is wrong.
    const char *read(const Access &access) { return read_before(access) ? nullptr : read_first(access, false); }
    // By the asynchronous proxy: wgmma.
    const char *async_read(const Access &access) { return read_first(access, true); }
    const char *write(const Access &access);
    // The destination of an asynchronous copy, until it has landed, may be neither read nor written.
    const char *begin_copy(const Access &access);
    // It lands as a write of the warp.
    void land(const Access &access);
    // It lands as a write of an agent, which the clock knows from now on.
    void land(uint32_t offset, int64_t bytes, int agent, Clock *clock);

private:
    struct Cell {
        uint32_t write_stamp;
        uint16_t write_line;
        uint16_t read_line;
        uint8_t writer;
        bool in_flight;
    };

    uint32_t *reads_of(int warp) { return reads_.data() + static_cast<std::size_t>(warp) * cells_.size(); }
    // Whether the warp has read all of it since its last barrier: then nothing can be wrong that was right.
    bool read_before(const Access &a) {
        const auto last = static_cast<std::size_t>(a.offset + static_cast<uint32_t>(a.bytes) - 1) / 2;
        if (last >= cells_.size()) return false;
        const uint32_t *reads = reads_of(a.warp), now = stamp_[a.warp];
        for (std::size_t i = a.offset / 2; i <= last; i++) {
            if (reads[i] != now) return false;
        }
        return true;
    }
    const char *read_first(const Access &access, bool async);
    const char *check_range(const Access &access);
    const char *race(const char *what, int agent, int line, const Access &access);
    void poison(uint32_t offset, int64_t bytes);

    char *memory_ = nullptr;
    int64_t capacity_ = 0;
    int64_t bytes_ = 0;
    std::vector<Cell> cells_;
    std::vector<uint32_t> reads_;  // [warp][cell]: the stamp of the last read
    uint32_t first_stamp_ = 0;     // of the block: older cells are unwritten
    uint32_t last_stamp_ = 0;
    int warps_ = 0;
    int agents_ = 0;
    uint32_t stamp_[max_warps] = {};
    uint32_t fenced_[max_warps] = {};  // writes up to this stamp are visible to the asynchronous proxy
    Clock seen_[max_warps] = {};       // seen_[a][b]: accesses of b up to this stamp lie before those of a
    char text_[256] = {};
};

}  // namespace nf4j::simt
