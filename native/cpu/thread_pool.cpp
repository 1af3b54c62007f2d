// How a region runs, and which memory order carries what:
//
//   caller                                        worker
//   write body, tasks, next = 0                   wait until epoch differs from the last one seen
//   gate = 0                      (release) --->  gate: g -> g + 1 where g >= 0      (acquire; else the region is over: wait again)
//   ++epoch, wake who sleeps                      claim tasks: next++                (relaxed: only its atomicity matters)
//   claim tasks: next++                           run them
//   gate += closed                                gate: g -> g - 1                   (release)
//   wait until gate == closed     (acquire) <---  the last one out of a closed gate wakes the caller
//
// The gate publishes the region to a worker and the worker's results to the caller. The epoch only says that there is something to
// look at: a worker that wakes late finds the gate closed, or open for the next region, and either is right. So a region never waits
// for a thread that has not begun: small regions are finished by the caller alone before anybody has woken.
//
// No wake-up is lost: a worker counts itself as a sleeper and then reads the epoch, the caller advances the epoch and then reads the
// count of sleepers, all sequentially consistent, so one of them sees the other's write.
//
// A sleeper that was last on the caller's core is forbidden that core before it is woken. Schedulers like to wake a thread where it
// was, or where its waker is; it would then wait for the caller to finish the region, in virtual machines for region after region.
#include "cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>

namespace nf4j::cpu {

namespace {

constexpr int64_t closed = INT64_MIN / 2;
// About 10 microseconds: longer than the gap between two operations that are called in a row, too short to be seen as load.
constexpr int spins = 400;

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Which region of which pool this thread is in.
thread_local const void *current_pool = nullptr;
thread_local int current_thread = 0;

}  // namespace

struct ThreadPool::State {
    struct Worker {
        pthread_t handle;
        State *state;
        int thread;
        int core = -1;  // that it fell asleep on, -1 while awake; guarded by `sleep`
    };

    int threads = 0;
    int started = 0;  // workers that must be joined
    Worker *workers = nullptr;
    char *scratch = nullptr;
    cpu_set_t allowed;  // cores, none of them if that is unknown

    std::mutex callers;  // held for the length of a region
    const TaskRef *body = nullptr;
    int64_t tasks = 0;

    alignas(64) std::atomic<int64_t> next{0};
    alignas(64) std::atomic<int64_t> gate{closed};
    alignas(64) std::atomic<uint64_t> epoch{0};
    std::atomic<int> sleepers{0};
    std::atomic<bool> stop{false};

    std::mutex sleep;  // of both conditions
    std::condition_variable work;
    std::condition_variable done;

    void run_tasks(int thread) {
        const void *outer_pool = current_pool;
        const int outer_thread = current_thread;
        current_pool = this;
        current_thread = thread;
        for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
            (*body)(task, thread);
        }
        current_pool = outer_pool;
        current_thread = outer_thread;
    }

    void announce() {
        epoch.fetch_add(1);
        if (sleepers.load() > 0) {
            std::lock_guard<std::mutex> lock(sleep);
            clear_core(sched_getcpu());
            work.notify_all();
        }
    }

    // Needs `sleep` locked.
    void clear_core(int core) {
        for (int i = 0; i < started; i++) {
            if (core < 0 || workers[i].core != core) {
                continue;
            }
            cpu_set_t others = allowed;
            CPU_CLR(static_cast<size_t>(core), &others);
            if (CPU_COUNT(&others) > 0) {
                pthread_setaffinity_np(workers[i].handle, sizeof others, &others);
            }
        }
    }

    // Returns the epoch that differs from `seen`.
    uint64_t await_epoch(uint64_t seen, int *core) {
        for (int i = 0; i < spins; i++) {
            const uint64_t now = epoch.load(std::memory_order_acquire);
            if (now != seen) {
                return now;
            }
            pause();
        }
        std::unique_lock<std::mutex> lock(sleep);
        *core = sched_getcpu();
        sleepers.fetch_add(1);
        uint64_t now;
        while ((now = epoch.load()) == seen) {
            work.wait(lock);
        }
        sleepers.fetch_sub(1);
        *core = -1;
        return now;
    }

    bool enter() {
        int64_t inside = gate.load(std::memory_order_relaxed);
        while (inside >= 0) {
            if (gate.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    void leave() {
        if (gate.fetch_sub(1, std::memory_order_release) - 1 == closed) {
            std::lock_guard<std::mutex> lock(sleep);
            done.notify_one();
        }
    }

    void await_workers() {
        for (int i = 0; i < spins; i++) {
            if (gate.load(std::memory_order_acquire) == closed) {
                return;
            }
            pause();
        }
        std::unique_lock<std::mutex> lock(sleep);
        while (gate.load(std::memory_order_acquire) != closed) {
            done.wait(lock);
        }
    }

    static void *worker_main(void *argument) {
        Worker *worker = static_cast<Worker *>(argument);
        State *state = worker->state;
        uint64_t seen = 0;
        while (true) {
            seen = state->await_epoch(seen, &worker->core);
            if (state->stop.load(std::memory_order_acquire)) {
                return nullptr;
            }
            if (state->enter()) {
                state->run_tasks(worker->thread);
                state->leave();
            }
        }
    }

    bool start(int count) {
        threads = count;
        void *memory = mmap(nullptr, static_cast<size_t>(count * scratch_bytes), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            return false;
        }
        scratch = static_cast<char *>(memory);
        if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
            CPU_ZERO(&allowed);  // more cores than the set has room for
        }
        workers = new (std::nothrow) Worker[static_cast<size_t>(count)];
        if (workers == nullptr) {
            return false;
        }
        for (int thread = 1; thread < count; thread++) {
            Worker &worker = workers[started];
            worker.state = this;
            worker.thread = thread;
            if (pthread_create(&worker.handle, nullptr, worker_main, &worker) != 0) {
                return false;
            }
            started++;
        }
        return true;
    }

    ~State() {
        stop.store(true, std::memory_order_release);
        announce();
        for (int i = 0; i < started; i++) {
            pthread_join(workers[i].handle, nullptr);
        }
        delete[] workers;
        if (scratch != nullptr) {
            munmap(scratch, static_cast<size_t>(threads * scratch_bytes));
        }
    }
};

ThreadPool::ThreadPool(State *state) : state_(state) {}

ThreadPool::~ThreadPool() { delete state_; }

ThreadPool *ThreadPool::create(int threads) {
    State *state = new (std::nothrow) State;
    if (state == nullptr) {
        return nullptr;
    }
    ThreadPool *pool = state->start(threads) ? new (std::nothrow) ThreadPool(state) : nullptr;
    if (pool == nullptr) {
        delete state;
    }
    return pool;
}

int ThreadPool::threads() const { return state_->threads; }

char *ThreadPool::scratch(int thread) const { return state_->scratch + thread * scratch_bytes; }

void ThreadPool::parallel_for(int64_t tasks, TaskRef body) {
    State &state = *state_;
    if (current_pool == state_) {
        for (int64_t task = 0; task < tasks; task++) {
            body(task, current_thread);
        }
        return;
    }
    std::lock_guard<std::mutex> region(state.callers);
    state.body = &body;
    state.tasks = tasks;
    state.next.store(0, std::memory_order_relaxed);
    const bool alone = tasks <= 1 || state.threads == 1;
    if (!alone) {
        state.gate.store(0, std::memory_order_release);
        state.announce();
    }
    state.run_tasks(0);
    if (!alone) {
        // Relaxed: whoever still enters before this reads the gate, and await_workers() acquires from whoever left.
        state.gate.fetch_add(closed, std::memory_order_relaxed);
        state.await_workers();
    }
}

}  // namespace nf4j::cpu
