// The dynamic shared memory of a block, and what its warps did to it.
//
// Every two bytes remember their last writer and the warps that read them since. Time is counted in stamps: a warp gets
// a new one at each barrier, and learns up to which stamp every other warp's accesses lie before its own. An access
// that is newer than that, by another warp, to the same bytes, with a write among the two, is a race: on a device it
// may happen in either order.
#pragma once

#include "simt/place.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nf4j::simt {

class Shadow {
public:
    static constexpr int max_warps = 32;

    // Describes an access that is wrong into text; false when it is.
    struct Access {
        uint32_t offset;
        int bytes;
        int warp;
        Place place;
    };

    ~Shadow();

    // A new block: memory is poisoned and unwritten. False without memory.
    bool begin_block(int64_t bytes, int warps);
    // All accesses of the warps of `mask` before lie before all of theirs from now on.
    void synchronize(uint32_t mask);

    char *memory() { return memory_; }
    int64_t bytes() const { return bytes_; }

    // Null, or what is wrong.
    const char *read(const Access &access) { return read_before(access) ? nullptr : read_first(access); }
    const char *write(const Access &access);
    // The destination of an asynchronous copy, until land(), may be neither read nor written.
    const char *begin_copy(const Access &access);
    void land(const Access &access);

private:
    // What was read since it was written, apart from the rest: most accesses need no more.
    struct Reads {
        uint32_t stamp;
        uint32_t warps;
    };
    struct Cell {
        uint32_t write_stamp;
        uint16_t write_line;
        uint16_t read_line;
        uint8_t writer;
        bool in_flight;
    };

    // Whether the warp has read all of it since its last barrier: then nothing can be wrong that was right.
    bool read_before(const Access &a) const {
        const auto last = static_cast<std::size_t>(a.offset + static_cast<uint32_t>(a.bytes) - 1) / 2;
        if (last >= reads_.size()) return false;
        for (std::size_t i = a.offset / 2; i <= last; i++) {
            if (reads_[i].stamp != stamp_[a.warp] || !(reads_[i].warps >> a.warp & 1)) return false;
        }
        return true;
    }
    const char *read_first(const Access &access);
    const char *check_range(const Access &access);
    const char *race(const char *what, int warp, int line, const Access &access);
    void poison(uint32_t offset, int64_t bytes);

    char *memory_ = nullptr;
    int64_t capacity_ = 0;
    int64_t bytes_ = 0;
    std::vector<Cell> cells_;
    std::vector<Reads> reads_;
    uint32_t first_stamp_ = 0;  // of the block: older cells are unwritten
    uint32_t last_stamp_ = 0;
    int warps_ = 0;
    uint32_t stamp_[max_warps] = {};
    uint32_t seen_[max_warps][max_warps] = {};  // seen_[a][b]: accesses of b up to this stamp lie before those of a
    char text_[256] = {};
};

}  // namespace nf4j::simt
