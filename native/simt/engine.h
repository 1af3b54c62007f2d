// Runs the blocks of a grid on the calling thread, one after the other; the threads of a block are fibers. A mistake
// that a GPU would hide ends the grid with a report that names kernel, block, warp and place.
//
// Schedules (environment NF4J_SIMT_SCHEDULE): 0 or unset is lock-step, where all threads go from one synchronisation to
// the next in order; any other number seeds an adversarial one, where blocks come in any order and a random warp runs
// as far as it can.
//
// NF4J_SIMT_COUNT=1 prints what each launch did (simt/counters.h), =2 only counts, for tests. NF4J_SIMT_LAUNCHES=file notes the size of each launch
// (simt/launches.h).
#pragma once

#include "simt/async.h"
#include "simt/counters.h"
#include "simt/fiber.h"
#include "simt/place.h"
#include "simt/shadow.h"

#include <cstdint>
#include <random>
#include <vector>

namespace nf4j::simt {

constexpr int warp_size = 32;
constexpr int max_threads = 1024;
constexpr int max_barriers = 16;

// An asynchronous copy that has not landed.
struct PendingCopy {
    uint32_t to;  // offset in shared memory
    const void *from;
    int bytes;   // 4, 8 or 16
    int source;  // bytes that are read; the rest becomes 0
};

struct Thread {
    enum class State : uint8_t { ready, waiting, done };

    void *stack_pointer;
    int index;
    int lane;
    int warp;
    State state;
    const char *waiting_for;  // of a thread that waits
    uint32_t mbarrier;        // which one, when it waits for "mbarrier"
    uint32_t wgmma_fences;
    Place place;
    std::vector<CountedAccess> accesses;  // since the last synchronisation, when they are counted
    std::vector<PendingCopy> copies;      // oldest first
    std::vector<size_t>
        copy_groups;  // the number of copies in each group that was committed and has not been waited for
};

// What every thread of a grid can see.
struct Grid {
    const char *kernel;  // the name that reports give it
    const void *code;    // the kernel's function
    int64_t blocks;
    int threads;
    int64_t shared_bytes;
    void (*body)(const void *context);
    const void *context;
};

class Engine {
public:
    // The engine of the calling OS thread, while it runs a grid.
    static Engine &instance() { return *running_; }
    // The same at any time.
    static Engine &of_this_thread();

    // Of the last grid; all 0 unless NF4J_SIMT_COUNT is set.
    const Counters &counters() const { return counters_; }
    void count(const CountedAccess &access) {
        if (counting_) current_->accesses.push_back(access);
    }
    void count_mma() {
        if (counting_) counters_.mma++;
    }

    // Returns NF4J_OK, or a status with the report as the last error.
    int32_t run(const Grid &grid);

    // ---- for the running CUDA thread

    const Grid &grid() const { return grid_; }
    int64_t block() const { return block_; }
    Thread &thread() { return *current_; }
    Shadow &shared() { return shadow_; }
    Async &async() { return async_; }

    // Waits until `threads` threads have come to barrier `id`.
    void barrier(int id, int threads, Place place);
    // Waits until all lanes of the warp have come to the same operation; the last one runs combine over what each
    // brought.
    void collective(const char *name, Place place, void *argument, void (*combine)(void *const *arguments));
    // Until somebody wakes those who wait for the mbarrier.
    void sleep(uint32_t mbarrier, Place place);
    void wake(uint32_t mbarrier);
    // Ends the grid.
    [[noreturn]] void report(Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
    // The same after the last thread.
    void report_block(Place place, const char *text);

private:
    struct Barrier {
        int arrived;
        int expected;
        Place place;
    };
    struct Warp {
        void *arguments[warp_size];
        int arrived;
        const char *name;
        Place place;
    };

    // Device code asks for it all the time; fibers stay on their OS thread.
    static inline thread_local Engine *running_ __attribute__((tls_model("initial-exec"))) = nullptr;

    static void entry();
    void run_block(int64_t block);
    void resume(Thread &thread);
    bool step_in_order();
    bool step_adversarially();
    void suspend();
    void report_deadlock();
    void count_accesses(int warp);
    void fail_once(const char *text);

    Grid grid_ = {};
    int64_t block_ = 0;
    Thread *current_ = nullptr;
    void *scheduler_ = nullptr;
    int done_ = 0;
    bool failed_ = false;
    bool counting_ = false;
    Counters counters_;
    char report_[768] = {};
    uint64_t seed_ = 0;
    std::mt19937_64 random_;
    Stacks stacks_;
    std::vector<Thread> threads_;
    Warp warps_[max_threads / warp_size] = {};
    Barrier barriers_[max_barriers] = {};
    Shadow shadow_;
    Async async_{*this};
};

}  // namespace nf4j::simt
