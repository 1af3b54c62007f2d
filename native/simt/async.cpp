#include "simt/async.h"

#include "core/dtype.h"
#include "simt/engine.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace nf4j::simt {

void Async::begin_block(int warps) {
    mbarriers_.clear();
    copies_.clear();
    products_.assign(static_cast<size_t>(warps), {});
}

// ---- mbarriers

Mbarrier *Async::find(uint32_t offset) {
    for (Mbarrier &barrier : mbarriers_) {
        if (barrier.offset == offset) return &barrier;
    }
    return nullptr;
}

// The barrier, which the running thread must be able to see.
Mbarrier &Async::at(uint32_t offset, Place place) {
    Mbarrier *found = find(offset);
    if (!found) engine_.report(place, "there is no mbarrier at %u", offset);
    if (const char *wrong = engine_.shared().read({offset, 8, engine_.thread().warp, place}))
        engine_.report(place, "mbarrier: %s", wrong);
    return *found;
}

void Async::init(uint32_t offset, int arrivals, Place place) {
    if (offset % 8 != 0) engine_.report(place, "misaligned: mbarrier at %u", offset);
    if (arrivals < 1) engine_.report(place, "mbarrier at %u for %d arrivals", offset, arrivals);
    if (find(offset)) engine_.report(place, "there is a mbarrier at %u already", offset);
    if (const char *wrong = engine_.shared().write({offset, 8, engine_.thread().warp, place}))
        engine_.report(place, "mbarrier: %s", wrong);
    const int agent = engine_.shared().add_agent();
    if (agent < 0) engine_.report(place, "more mbarriers than simt follows");
    mbarriers_.push_back({offset, arrivals, arrivals, 0, 0, agent, false, {}, {}});
}

void Async::publish() {
    for (Mbarrier &barrier : mbarriers_) barrier.published = true;
}

void Async::arrive(uint32_t offset, int64_t bytes, Place place) {
    Mbarrier &barrier = at(offset, place);
    if (barrier.missing == 0)
        engine_.report(place, "mbarrier at %u: an arrival more than the %d of its phase", offset, barrier.arrivals);
    engine_.shared().release(engine_.thread().warp, &barrier.arrived);
    barrier.bytes += bytes;
    barrier.missing--;
    settle(barrier);
}

// Ends the phase when nothing is missing.
void Async::settle(Mbarrier &barrier) {
    if (barrier.missing > 0 || barrier.bytes != 0) return;
    barrier.phase++;
    barrier.missing = barrier.arrivals;
    barrier.completed = barrier.arrived;
    engine_.wake(barrier.offset);
}

void Async::wait(uint32_t offset, uint32_t parity, Place place) {
    // Parity p asks for the end of the last phase of that parity: the one before the current phase, or the current one.
    while ((at(offset, place).phase & 1) == parity) engine_.sleep(offset, place);
    engine_.shared().acquire(engine_.thread().warp, find(offset)->completed);
}

int Async::describe(uint32_t offset, char *text, size_t capacity) const {
    for (const Mbarrier &b : mbarriers_) {
        if (b.offset != offset) continue;
        return std::snprintf(text, capacity, " (at %u, phase %u lacks %d of %d arrivals and %lld bytes);", offset,
                             b.phase, b.missing, b.arrivals, static_cast<long long>(b.bytes));
    }
    return 0;
}

// ---- copies

void Async::copy(const BoxCopy &copy) {
    Mbarrier &barrier = at(copy.mbarrier, copy.place);
    if (!barrier.published)
        engine_.report(copy.place, "mbarrier at %u was not published before a copy uses it", copy.mbarrier);
    if (copy.to % (8 * box_pitch) != 0)
        engine_.report(copy.place, "misaligned: a box at %u of shared memory, expected a multiple of 1024", copy.to);
    const Shadow::Access all = {copy.to, copy.box_rows * box_pitch, engine_.thread().warp, copy.place};
    if (const char *wrong = engine_.shared().begin_copy(all)) engine_.report(copy.place, "%s", wrong);
    copies_.push_back(copy);
}

bool Async::land_oldest() {
    if (copies_.empty()) return false;
    land(0);
    return true;
}

bool Async::land_any(std::mt19937_64 &random) {
    if (copies_.empty()) return false;
    land(static_cast<size_t>(random() % copies_.size()));
    return true;
}

void Async::land(size_t number) {
    const BoxCopy copy = copies_[number];
    copies_.erase(copies_.begin() + static_cast<std::ptrdiff_t>(number));
    char *memory = engine_.shared().memory();
    const int64_t bytes = int64_t{copy.box_rows} * box_pitch;
    for (int64_t row = 0; row < copy.box_rows; row++) {
        for (int64_t byte = 0; byte < box_pitch; byte += 2) {
            const bool inside = copy.row + row < copy.rows && copy.byte + byte < copy.row_bytes;
            const char *from = copy.data + (copy.row + row) * copy.pitch + copy.byte + byte;
            // "Swizzling Modes", 128B: bits 4-6 of the address change by bits 7-9.
            char *to = memory + copy.to + row * box_pitch + (byte ^ row % 8 * 16);
            inside ? std::memcpy(to, from, 2) : std::memset(to, 0, 2);
        }
    }
    Mbarrier &barrier = *find(copy.mbarrier);
    engine_.shared().land(copy.to, bytes, barrier.agent, &barrier.arrived);
    barrier.bytes -= bytes;
    settle(barrier);
}

// ---- products

const WarpProducts &Async::products() const { return products_[static_cast<size_t>(engine_.thread().warp)]; }

void Async::issue(const WarpProduct &product) {
    // "Matrix Descriptor Format": what wgmma_descriptor() makes, and nothing else.
    constexpr uint64_t address_bits = 0x3fff;
    if ((product.tile & ~address_bits) != (uint64_t{1} << 16 | uint64_t{64} << 32 | uint64_t{1} << 62))
        engine_.report(product.place, "a descriptor of another layout: %016llx",
                       static_cast<unsigned long long>(product.tile));
    for (int row = 0; row < product.cols; row++) {
        for (int chunk = 0; chunk < 2; chunk++) tile_chunk(product, row, chunk);
    }
    WarpProducts &own = products_[static_cast<size_t>(engine_.thread().warp)];
    own.queue.push_back(product);
    own.queue.back().group = own.committed + 1;
}

// 16 bytes of the tile: elements 8 chunk ... of a row. Address bits 4-6 change by bits 7-9, also where k is not 0.
const char *Async::tile_chunk(const WarpProduct &product, int row, int chunk) {
    const auto start = static_cast<uint32_t>(product.tile & 0x3fff) * 16;
    const auto stride = static_cast<uint32_t>(product.tile >> 32 & 0x3fff) * 16;
    uint32_t address =
        start + static_cast<uint32_t>(row / 8) * stride + static_cast<uint32_t>(row % 8 * 128 + chunk * 16);
    address ^= (address >> 7 & 7) << 4;
    Shadow &shared = engine_.shared();
    if (const char *wrong = shared.async_read({address, 16, engine_.thread().warp, product.place}))
        engine_.report(product.place, "wgmma: %s", wrong);
    return shared.memory() + address;
}

void Async::commit() { products_[static_cast<size_t>(engine_.thread().warp)].committed++; }

void Async::wait_groups(int left) {
    WarpProducts &own = products_[static_cast<size_t>(engine_.thread().warp)];
    while (own.completed + static_cast<uint64_t>(left) < own.committed) {
        own.completed++;
        while (!own.queue.empty() && own.queue.front().group <= own.completed) {
            complete(own.queue.front());
            own.queue.erase(own.queue.begin());
        }
    }
}

// Products of BF16 are exact in F32, their sum is rounded once: as the twin of mma.sync does it.
void Async::complete(const WarpProduct &product) {
    double b[WarpProduct::most_cols][16];
    for (int row = 0; row < product.cols; row++) {
        for (int chunk = 0; chunk < 2; chunk++) {
            uint16_t bits[8];
            std::memcpy(bits, tile_chunk(product, row, chunk), 16);
            for (int e = 0; e < 8; e++) b[row][chunk * 8 + e] = static_cast<double>(to_f32(bf16{bits[e]}));
        }
    }
    for (int i = 0; i < 16; i++) {
        double a[16];
        for (int k = 0; k < 16; k++) {
            const uint32_t pair = product.a[i % 8 * 4 + k % 8 / 2][i / 8 + k / 8 * 2];
            a[k] = static_cast<double>(to_f32(bf16{static_cast<uint16_t>(k % 2 ? pair >> 16 : pair)}));
        }
        for (int j = 0; j < product.cols; j++) {
            double sum = 0;
            for (int k = 0; k < 16; k++) sum += a[k] * b[j][k];
            float &d = product.sums[i % 8 * 4 + j % 8 / 2][j / 8 * 4 + i / 8 * 2 + j % 2];
            d = static_cast<float>(static_cast<double>(d) + sum);
        }
    }
}

// ---- ends

void Async::end_thread() {
    const WarpProducts &own = products();
    if (!own.queue.empty()) engine_.report(own.queue.front().place, "ends while this product is on its way");
}

void Async::end_block() {
    if (!copies_.empty()) engine_.report_block(copies_[0].place, "the block ended while this copy was on its way");
}

}  // namespace nf4j::simt
