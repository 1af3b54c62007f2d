#include "simt/engine.h"

#include "core/backend.h"
#include "simt/driver.h"
#include "simt/launches.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>

namespace nf4j::simt {

namespace {

const char *base_name(const char *path) {
    const char *slash = std::strrchr(path, '/');
    return slash ? slash + 1 : path;
}

uint64_t schedule_seed() {
    const char *given = std::getenv("NF4J_SIMT_SCHEDULE");
    return given ? std::strtoull(given, nullptr, 10) : 0;
}

}  // namespace

Engine &Engine::of_this_thread() {
    static thread_local const std::unique_ptr<Engine> engine(new Engine);
    return *engine;
}

int32_t Engine::run(const Grid &grid) {
    if (grid.threads < 1 || grid.threads > max_threads || grid.threads % warp_size != 0) {
        return fail(NF4J_INTERNAL, "simt: %s has %d threads a block, expected a multiple of 32 up to 1024", grid.kernel,
                    grid.threads);
    }
    note_launch(grid);
    const int32_t status = ask_driver(grid.kernel);
    if (status != NF4J_OK) return status;
    running_ = this;
    grid_ = grid;
    failed_ = false;
    seed_ = schedule_seed();
    const char *count = std::getenv("NF4J_SIMT_COUNT");
    counting_ = count != nullptr;
    counters_ = {};
    random_.seed(seed_);
    threads_.resize(static_cast<size_t>(std::max(grid.threads, static_cast<int>(threads_.size()))));
    if (!stacks_.reserve(grid.threads)) return fail(NF4J_OUT_OF_MEMORY, "simt: no memory for %d stacks", grid.threads);

    // An adversarial order visits block (a * i + b) mod blocks, a without a common divisor.
    int64_t stride = 1, first = 0;
    if (seed_ != 0 && grid.blocks > 1) {
        first = static_cast<int64_t>(random_() % static_cast<uint64_t>(grid.blocks));
        do stride = 1 + static_cast<int64_t>(random_() % static_cast<uint64_t>(grid.blocks));
        while (std::gcd(stride, grid.blocks) != 1);
    }
    int64_t block = first;
    for (int64_t i = 0; i < grid.blocks && !failed_; i++) {
        run_block(block);
        block = (block + stride) % grid.blocks;
    }
    if (failed_) return fail(NF4J_INTERNAL, "%s", report_);
    if (count && std::strcmp(count, "1") == 0) {
        std::fprintf(
            stderr,
            "simt: %s: %lld blocks of %d threads, %lld bytes of shared memory; %lld shared accesses, %lld bank "
            "conflicts, %lld global accesses, %lld sectors where %lld would do, %lld mma\n",
            grid.kernel, static_cast<long long>(grid.blocks), grid.threads, static_cast<long long>(grid.shared_bytes),
            static_cast<long long>(counters_.shared_accesses), static_cast<long long>(counters_.bank_conflicts),
            static_cast<long long>(counters_.global_accesses), static_cast<long long>(counters_.sectors),
            static_cast<long long>(counters_.needed_sectors), static_cast<long long>(counters_.mma));
    }
    return NF4J_OK;
}

void Engine::count_accesses(int warp) {
    if (!counting_) return;
    std::vector<CountedAccess> *lanes[warp_size];
    for (int l = 0; l < warp_size; l++) lanes[l] = &threads_[static_cast<size_t>(warp * warp_size + l)].accesses;
    count_warp(lanes, &counters_);
}

void Engine::run_block(int64_t block) {
    block_ = block;
    done_ = 0;
    std::memset(warps_, 0, sizeof warps_);
    std::memset(barriers_, 0, sizeof barriers_);
    if (!shadow_.begin_block(grid_.shared_bytes, grid_.threads / warp_size))
        return fail_once("simt: no memory for shared memory");
    async_.begin_block(grid_.threads / warp_size);
    for (int i = 0; i < grid_.threads; i++) {
        Thread &thread = threads_[static_cast<size_t>(i)];
        thread.stack_pointer = stacks_.prepare(i, entry);
        thread.index = i;
        thread.lane = i % warp_size;
        thread.warp = i / warp_size;
        thread.state = Thread::State::ready;
        thread.mbarrier = thread.wgmma_fences = 0;
        thread.accesses.clear();
        thread.copies.clear();
        thread.copy_groups.clear();
    }
    while (!failed_ && done_ < grid_.threads) {
        const bool progress = seed_ == 0 ? step_in_order() : step_adversarially();
        // Copies land as late as they can, under an adversarial schedule at any time.
        const bool landed = seed_ == 0 ? !progress && async_.land_oldest()
                                       : (!progress || random_() % 4 == 0) && async_.land_any(random_);
        if (!progress && !landed) report_deadlock();
    }
    if (!failed_) async_.end_block();
    for (int w = 0; w < grid_.threads / warp_size; w++) count_accesses(w);
}

// Every ready thread once. False when there was none.
bool Engine::step_in_order() {
    bool progress = false;
    for (int i = 0; i < grid_.threads && !failed_; i++) {
        Thread &thread = threads_[static_cast<size_t>(i)];
        if (thread.state != Thread::State::ready) continue;
        progress = true;
        resume(thread);
    }
    return progress;
}

// One random warp until it can go no further, its lanes in any order. False when none could go.
bool Engine::step_adversarially() {
    const int warps = grid_.threads / warp_size;
    const int first = static_cast<int>(random_() % static_cast<uint64_t>(warps));
    for (int i = 0; i < warps; i++) {
        Thread *lanes = &threads_[static_cast<size_t>((first + i) % warps * warp_size)];
        bool progress = false;
        for (bool again = true; again && !failed_;) {
            again = false;
            const auto turn = static_cast<int>(random_() % warp_size);
            const int direction = random_() % 2 ? 1 : warp_size - 1;
            for (int l = 0; l < warp_size && !failed_; l++) {
                Thread &thread = lanes[(turn + l * direction) % warp_size];
                if (thread.state != Thread::State::ready) continue;
                again = progress = true;
                resume(thread);
            }
        }
        if (progress) return true;
    }
    return false;
}

void Engine::resume(Thread &thread) {
    current_ = &thread;
    nf4j_simt_switch(&scheduler_, thread.stack_pointer);
}

void Engine::suspend() { nf4j_simt_switch(&current_->stack_pointer, scheduler_); }

void Engine::entry() {
    Engine &engine = instance();
    engine.grid_.body(engine.grid_.context);
    engine.async_.end_thread();
    engine.current_->state = Thread::State::done;
    engine.done_++;
    engine.suspend();
    std::abort();  // nobody resumes a thread that is done
}

void Engine::barrier(int id, int threads, Place place) {
    Barrier &barrier = barriers_[id];
    if (barrier.arrived == 0) {
        barrier.expected = threads;
        barrier.place = place;
    } else if (barrier.expected != threads || barrier.place.line != place.line || barrier.place.file != place.file) {
        report(place, "divergent barrier %d: others wait at %s:%d for %d threads", id, base_name(barrier.place.file),
               barrier.place.line, barrier.expected);
    }
    static const char *const names[max_barriers] = {
        "barrier 0", "barrier 1", "barrier 2",  "barrier 3",  "barrier 4",  "barrier 5",  "barrier 6",  "barrier 7",
        "barrier 8", "barrier 9", "barrier 10", "barrier 11", "barrier 12", "barrier 13", "barrier 14", "barrier 15"};
    current_->waiting_for = names[id];
    current_->place = place;
    if (++barrier.arrived < threads) {
        current_->state = Thread::State::waiting;
        suspend();
        return;
    }
    barrier.arrived = 0;
    uint32_t mask = 1u << current_->warp;
    for (int i = 0; i < grid_.threads; i++) {
        Thread &thread = threads_[static_cast<size_t>(i)];
        if (thread.state != Thread::State::waiting || thread.waiting_for != names[id]) continue;
        thread.state = Thread::State::ready;
        mask |= 1u << thread.warp;
    }
    shadow_.synchronize(mask);
    for (uint32_t left = mask; left; left &= left - 1) count_accesses(__builtin_ctz(left));
}

// The name that tells them from those who wait for barriers and warps.
static const char mbarrier_name[] = "an mbarrier";

void Engine::sleep(uint32_t mbarrier, Place place) {
    current_->waiting_for = mbarrier_name;
    current_->mbarrier = mbarrier;
    current_->place = place;
    current_->state = Thread::State::waiting;
    suspend();
}

void Engine::wake(uint32_t mbarrier) {
    for (int i = 0; i < grid_.threads; i++) {
        Thread &thread = threads_[static_cast<size_t>(i)];
        if (thread.state == Thread::State::waiting && thread.waiting_for == mbarrier_name &&
            thread.mbarrier == mbarrier) {
            thread.state = Thread::State::ready;
        }
    }
}

void Engine::collective(const char *name, Place place, void *argument, void (*combine)(void *const *)) {
    Warp &warp = warps_[current_->warp];
    if (warp.arrived == 0) {
        warp.name = name;
        warp.place = place;
    } else if (std::strcmp(warp.name, name) != 0 || warp.place.line != place.line || warp.place.file != place.file) {
        report(place, "divergent warp: lane %d is at %s, others at %s of %s:%d", current_->lane, name, warp.name,
               base_name(warp.place.file), warp.place.line);
    }
    warp.arguments[current_->lane] = argument;
    current_->waiting_for = name;
    current_->place = place;
    if (++warp.arrived < warp_size) {
        current_->state = Thread::State::waiting;
        suspend();
        return;
    }
    warp.arrived = 0;
    count_accesses(current_->warp);
    combine(warp.arguments);
    Thread *lanes = &threads_[static_cast<size_t>(current_->warp * warp_size)];
    for (int l = 0; l < warp_size; l++) {
        if (lanes[l].state == Thread::State::waiting) lanes[l].state = Thread::State::ready;
    }
}

// All that are left wait for somebody who does not come.
void Engine::report_deadlock() {
    char text[sizeof report_];
    int used = std::snprintf(text, sizeof text, "simt: %s, block %lld: missing or divergent barrier:", grid_.kernel,
                             static_cast<long long>(block_));
    const Thread *before = nullptr;
    for (int i = 0; i < grid_.threads && used < static_cast<int>(sizeof text); i++) {
        const Thread &thread = threads_[static_cast<size_t>(i)];
        const bool done = thread.state == Thread::State::done;
        const bool same = before && before->warp == thread.warp && before->state == thread.state &&
                          (done || (before->place.line == thread.place.line && before->mbarrier == thread.mbarrier));
        before = &thread;
        if (same) continue;
        const size_t left = sizeof text - static_cast<size_t>(used);
        used += done ? std::snprintf(text + used, left, " warp %d (lane %d ...) has ended;", thread.warp, thread.lane)
                     : std::snprintf(text + used, left, " warp %d (lane %d ...) waits at %s of %s:%d", thread.warp,
                                     thread.lane, thread.waiting_for, base_name(thread.place.file), thread.place.line);
        if (done || used >= static_cast<int>(sizeof text)) continue;
        const size_t rest = sizeof text - static_cast<size_t>(used);
        used += thread.waiting_for == mbarrier_name ? async_.describe(thread.mbarrier, text + used, rest)
                                                    : std::snprintf(text + used, rest, ";");
    }
    fail_once(text);
}

void Engine::fail_once(const char *text) {
    failed_ = true;
    std::snprintf(report_, sizeof report_, "%s", text);
}

void Engine::report_block(Place place, const char *text) {
    char full[sizeof report_];
    std::snprintf(full, sizeof full, "simt: %s, block %lld, %s:%d: %s", grid_.kernel, static_cast<long long>(block_),
                  base_name(place.file), place.line, text);
    fail_once(full);
}

void Engine::report(Place place, const char *format, ...) {
    char text[512], full[sizeof report_];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    std::snprintf(full, sizeof full, "simt: %s, block %lld, warp %d, lane %d, %s:%d: %s (NF4J_SIMT_SCHEDULE=%llu)",
                  grid_.kernel, static_cast<long long>(block_), current_->warp, current_->lane, base_name(place.file),
                  place.line, text, static_cast<unsigned long long>(seed_));
    fail_once(full);
    suspend();  // for good: no thread of a grid that has failed is resumed
    std::abort();
}

}  // namespace nf4j::simt
