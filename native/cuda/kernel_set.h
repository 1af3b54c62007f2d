// The kernels for which something has been done that is done once. Threads may ask and add at the same time: two that do
// it for the same kernel at once do no harm.
#pragma once

#include <array>
#include <atomic>

namespace nf4j::cuda {

class KernelSet {
public:
    static constexpr int most = 128;  // one that finds no place is never contained, and it is done for it again

    bool contains(const void *kernel) const {
        for (const auto &place : kernels_) {
            const void *found = place.load(std::memory_order_acquire);
            if (found == kernel) return true;
            if (!found) return false;
        }
        return false;
    }

    void add(const void *kernel) {
        for (auto &place : kernels_) {
            const void *found = nullptr;
            if (place.compare_exchange_strong(found, kernel) || found == kernel) return;
        }
    }

private:
    std::array<std::atomic<const void *>, most> kernels_{};
};

}  // namespace nf4j::cuda
