#include "simt/counters.h"

#include <algorithm>

namespace nf4j::simt {

namespace {

// Distinct numbers among those that bytes [address, address + bytes) of each access have in units of `unit`.
std::vector<uint64_t> units(const std::vector<const CountedAccess *> &accesses, uint64_t unit) {
    std::vector<uint64_t> numbers;
    for (const CountedAccess *a : accesses) {
        const uint64_t last = (a->address + static_cast<uint64_t>(a->bytes) - 1) / unit;
        for (uint64_t n = a->address / unit; n <= last; n++) numbers.push_back(n);
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    return numbers;
}

// 32 banks of 4 bytes; 128 bytes go in one pass, so wide accesses take several of them, a part of the lanes each.
void count_shared(const std::vector<const CountedAccess *> &accesses, Counters *counters) {
    const size_t lanes_per_pass = std::min<size_t>(32, static_cast<size_t>(128 / accesses[0]->bytes));
    counters->shared_accesses++;
    for (size_t begin = 0; begin < accesses.size(); begin += lanes_per_pass) {
        const size_t end = std::min(begin + lanes_per_pass, accesses.size());
        int words[32] = {};
        int most = 0;
        for (uint64_t word : units({accesses.begin() + static_cast<std::ptrdiff_t>(begin),
                                    accesses.begin() + static_cast<std::ptrdiff_t>(end)},
                                   4)) {
            most = std::max(most, ++words[word % 32]);
        }
        counters->bank_conflicts += most - 1;
    }
}

void count_global(const std::vector<const CountedAccess *> &accesses, Counters *counters) {
    counters->global_accesses++;
    counters->sectors += static_cast<int64_t>(units(accesses, 32).size());
    counters->needed_sectors += (static_cast<int64_t>(units(accesses, 1).size()) + 31) / 32;
}

bool same_instruction(const CountedAccess &a, const CountedAccess &b) {
    return a.place.line == b.place.line && a.place.file == b.place.file && a.bytes == b.bytes && a.shared == b.shared;
}

}  // namespace

void count_warp(std::vector<CountedAccess> *const (&lanes)[32], Counters *counters) {
    size_t longest = 0;
    for (const auto *lane : lanes) longest = std::max(longest, lane->size());
    for (size_t i = 0; i < longest; i++) {
        bool counted[32] = {};
        for (int first = 0; first < 32; first++) {
            if (counted[first] || i >= lanes[first]->size()) continue;
            std::vector<const CountedAccess *> together;
            for (int l = first; l < 32; l++) {
                if (counted[l] || i >= lanes[l]->size() || !same_instruction((*lanes[first])[i], (*lanes[l])[i]))
                    continue;
                counted[l] = true;
                together.push_back(&(*lanes[l])[i]);
            }
            if (together[0]->bytes == 0) continue;
            together[0]->shared ? count_shared(together, counters) : count_global(together, counters);
        }
    }
    for (auto *lane : lanes) lane->clear();
}

}  // namespace nf4j::simt
