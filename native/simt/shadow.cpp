#include "simt/shadow.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace nf4j::simt {

Shadow::~Shadow() { std::free(memory_); }

bool Shadow::begin_block(int64_t bytes, int warps) {
    if (bytes > capacity_) {
        std::free(memory_);
        memory_ = static_cast<char *>(std::aligned_alloc(1024, static_cast<size_t>((bytes + 1023) / 1024 * 1024)));
        capacity_ = memory_ ? bytes : 0;
        if (!memory_) return false;
        cells_.assign(static_cast<size_t>((bytes + 1) / 2), Cell{});
        reads_.assign(cells_.size(), Reads{});
    }
    bytes_ = bytes;
    warps_ = warps;
    if (last_stamp_ > UINT32_MAX / 2) {  // numbers run out: begin again
        std::fill(cells_.begin(), cells_.end(), Cell{});
        std::fill(reads_.begin(), reads_.end(), Reads{});
        last_stamp_ = 0;
    }
    first_stamp_ = ++last_stamp_;
    for (int w = 0; w < warps; w++) {
        stamp_[w] = first_stamp_;
        std::fill_n(seen_[w], warps, first_stamp_ - 1);
        seen_[w][w] = UINT32_MAX;  // one's own accesses are in order
    }
    poison(0, bytes);
    return true;
}

// Bytes that are NaN in every type and as codes are far out of any range.
void Shadow::poison(uint32_t offset, int64_t bytes) {
    if (bytes > 0) std::memset(memory_ + offset, 0xff, static_cast<size_t>(bytes));
}

void Shadow::synchronize(uint32_t mask) {
    uint32_t joint[max_warps] = {};
    for (int v = 0; v < warps_; v++) {
        for (int w = 0; w < warps_; w++) {
            if (mask >> w & 1) joint[v] = std::max(joint[v], v == w ? stamp_[w] : seen_[w][v]);
        }
    }
    last_stamp_++;
    for (int w = 0; w < warps_; w++) {
        if (!(mask >> w & 1)) continue;
        std::copy_n(joint, warps_, seen_[w]);
        seen_[w][w] = UINT32_MAX;
        stamp_[w] = last_stamp_;
    }
}

const char *Shadow::check_range(const Access &a) {
    if (static_cast<int64_t>(a.offset) + a.bytes <= bytes_) return nullptr;
    std::snprintf(text_, sizeof text_, "bytes %u ... %lld of shared memory, which has %lld", a.offset,
                  static_cast<long long>(a.offset) + a.bytes - 1, static_cast<long long>(bytes_));
    return text_;
}

const char *Shadow::race(const char *what, int warp, int line, const Access &a) {
    std::snprintf(text_, sizeof text_,
                  "race: byte %u of shared memory was %s by warp %d (line %d) and no barrier lies between", a.offset,
                  what, warp, line);
    return text_;
}

const char *Shadow::read_first(const Access &a) {
    if (const char *wrong = check_range(a)) return wrong;
    const uint32_t *seen = seen_[a.warp];
    const uint32_t bit = 1u << a.warp, now = stamp_[a.warp];
    for (uint32_t i = a.offset / 2; i < (a.offset + static_cast<uint32_t>(a.bytes) + 1) / 2; i++) {
        Cell &cell = cells_[i];
        Reads &reads = reads_[i];
        if (cell.write_stamp < first_stamp_) {
            std::snprintf(text_, sizeof text_, "reads byte %u of shared memory, which nobody has written", i * 2);
            return text_;
        }
        if (cell.in_flight) {
            std::snprintf(text_, sizeof text_, "reads byte %u of shared memory before the copy of line %d has landed",
                          i * 2, cell.write_line);
            return text_;
        }
        if (cell.write_stamp > seen[cell.writer]) return race("written", cell.writer, cell.write_line, a);
        // Readers whose accesses lie before this one are covered by it: who comes after this one comes after them.
        if (reads.stamp < first_stamp_) reads.warps = 0;
        if (reads.warps != bit) {
            for (uint32_t left = reads.warps; left; left &= left - 1) {
                const int v = __builtin_ctz(left);
                if (reads.stamp <= seen[v]) reads.warps &= ~(1u << v);
            }
        }
        reads = {now, reads.warps | bit};
        cell.read_line = static_cast<uint16_t>(a.place.line);
    }
    return nullptr;
}

const char *Shadow::write(const Access &a) {
    if (const char *wrong = check_range(a)) return wrong;
    const uint32_t *seen = seen_[a.warp];
    for (uint32_t i = a.offset / 2; i < (a.offset + static_cast<uint32_t>(a.bytes) + 1) / 2; i++) {
        Cell &cell = cells_[i];
        if (cell.write_stamp >= first_stamp_) {
            if (cell.in_flight) {
                std::snprintf(text_, sizeof text_,
                              "writes byte %u of shared memory while the copy of line %d is on its way", i * 2,
                              cell.write_line);
                return text_;
            }
            if (cell.write_stamp > seen[cell.writer]) return race("written", cell.writer, cell.write_line, a);
            for (uint32_t left = reads_[i].stamp < first_stamp_ ? 0 : reads_[i].warps; left; left &= left - 1) {
                const int v = __builtin_ctz(left);
                if (reads_[i].stamp > seen[v]) return race("read", v, cell.read_line, a);
            }
        }
        cell = {stamp_[a.warp], static_cast<uint16_t>(a.place.line), 0, static_cast<uint8_t>(a.warp), false};
        reads_[i] = {0, 0};
    }
    return nullptr;
}

const char *Shadow::begin_copy(const Access &a) {
    if (const char *wrong = write(a)) return wrong;
    for (uint32_t i = a.offset / 2; i < (a.offset + static_cast<uint32_t>(a.bytes)) / 2; i++)
        cells_[i].in_flight = true;
    poison(a.offset, a.bytes);
    return nullptr;
}

void Shadow::land(const Access &a) {
    for (uint32_t i = a.offset / 2; i < (a.offset + static_cast<uint32_t>(a.bytes)) / 2; i++) {
        cells_[i].in_flight = false;
        cells_[i].write_stamp = stamp_[a.warp];
    }
}

}  // namespace nf4j::simt
