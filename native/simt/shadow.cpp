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
        reads_.clear();
    }
    bytes_ = bytes;
    warps_ = agents_ = warps;
    if (last_stamp_ > UINT32_MAX / 2) {  // numbers run out: begin again
        std::fill(cells_.begin(), cells_.end(), Cell{});
        reads_.clear();
        last_stamp_ = 0;
    }
    reads_.resize(std::max(reads_.size(), cells_.size() * static_cast<size_t>(warps)));
    first_stamp_ = ++last_stamp_;
    for (int w = 0; w < warps; w++) {
        stamp_[w] = first_stamp_;
        fenced_[w] = first_stamp_ - 1;
        seen_[w].fill(first_stamp_ - 1);
        seen_[w][static_cast<size_t>(w)] = UINT32_MAX;  // one's own accesses are in order
    }
    poison(0, bytes);
    return true;
}

// Bytes that are NaN in every type and as codes are far out of any range.
void Shadow::poison(uint32_t offset, int64_t bytes) {
    if (bytes > 0) std::memset(memory_ + offset, 0xff, static_cast<size_t>(bytes));
}

void Shadow::synchronize(uint32_t mask) {
    Clock joint = {};
    for (int w = 0; w < warps_; w++) {
        if (mask >> w & 1) release(w, &joint);
    }
    last_stamp_++;
    for (int w = 0; w < warps_; w++) {
        if (!(mask >> w & 1)) continue;
        acquire(w, joint);
        stamp_[w] = last_stamp_;
    }
}

void Shadow::release(int warp, Clock *clock) {
    for (int v = 0; v < agents_; v++) {
        const auto i = static_cast<size_t>(v);
        (*clock)[i] = std::max((*clock)[i], v == warp ? stamp_[warp] : seen_[warp][i]);
    }
    stamp_[warp] = ++last_stamp_;
}

void Shadow::acquire(int warp, const Clock &clock) {
    for (size_t v = 0; v < static_cast<size_t>(agents_); v++) seen_[warp][v] = std::max(seen_[warp][v], clock[v]);
}

void Shadow::fence_async(int warp) {
    fenced_[warp] = stamp_[warp];
    stamp_[warp] = ++last_stamp_;
}

const char *Shadow::check_range(const Access &a) {
    if (static_cast<int64_t>(a.offset) + a.bytes <= bytes_) return nullptr;
    std::snprintf(text_, sizeof text_, "bytes %u ... %lld of shared memory, which has %lld", a.offset,
                  static_cast<long long>(a.offset) + a.bytes - 1, static_cast<long long>(bytes_));
    return text_;
}

const char *Shadow::race(const char *what, int agent, int line, const Access &a) {
    const int used = std::snprintf(text_, sizeof text_, "race: byte %u of shared memory was %s by ", a.offset, what);
    const size_t left = sizeof text_ - static_cast<size_t>(used);
    if (agent < warps_) {
        std::snprintf(text_ + used, left, "warp %d (line %d) and no barrier lies between", agent, line);
    } else {
        std::snprintf(text_ + used, left, "the copy of line %d and no wait for its mbarrier lies between", line);
    }
    return text_;
}

const char *Shadow::read_first(const Access &a, bool async) {
    if (const char *wrong = check_range(a)) return wrong;
    const Clock &seen = seen_[a.warp];
    const uint32_t now = stamp_[a.warp];
    uint32_t *reads = reads_of(a.warp);
    for (uint32_t i = a.offset / 2; i < (a.offset + static_cast<uint32_t>(a.bytes) + 1) / 2; i++) {
        Cell &cell = cells_[i];
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
        if (async && cell.writer < warps_ && cell.write_stamp > fenced_[cell.writer]) {
            std::snprintf(text_, sizeof text_,
                          "reads byte %u of shared memory, which warp %d wrote (line %d) without a fence_async_proxy "
                          "behind it",
                          i * 2, cell.writer, cell.write_line);
            return text_;
        }
        reads[i] = now;
        cell.read_line = static_cast<uint16_t>(a.place.line);
    }
    return nullptr;
}

const char *Shadow::write(const Access &a) {
    if (const char *wrong = check_range(a)) return wrong;
    const Clock &seen = seen_[a.warp];
    const uint32_t begin = a.offset / 2, end = (a.offset + static_cast<uint32_t>(a.bytes) + 1) / 2;
    for (int v = 0; v < warps_; v++) {
        const uint32_t *reads = reads_of(v);
        for (uint32_t i = begin; i < end; i++) {
            if (reads[i] > seen[static_cast<size_t>(v)]) return race("read", v, cells_[i].read_line, a);
        }
    }
    for (uint32_t i = begin; i < end; i++) {
        Cell &cell = cells_[i];
        if (cell.write_stamp >= first_stamp_) {
            if (cell.in_flight) {
                std::snprintf(text_, sizeof text_,
                              "writes byte %u of shared memory while the copy of line %d is on its way", i * 2,
                              cell.write_line);
                return text_;
            }
            if (cell.write_stamp > seen[cell.writer]) return race("written", cell.writer, cell.write_line, a);
        }
        cell = {stamp_[a.warp], static_cast<uint16_t>(a.place.line), 0, static_cast<uint8_t>(a.warp), false};
        reads_of(a.warp)[i] = 0;
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

void Shadow::land(uint32_t offset, int64_t bytes, int agent, Clock *clock) {
    (*clock)[static_cast<size_t>(agent)] = ++last_stamp_;
    for (uint32_t i = offset / 2; i < (offset + static_cast<uint64_t>(bytes)) / 2; i++) {
        cells_[i].in_flight = false;
        cells_[i].writer = static_cast<uint8_t>(agent);
        cells_[i].write_stamp = last_stamp_;
    }
}

}  // namespace nf4j::simt
