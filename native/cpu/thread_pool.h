// The cpu backend's own threads: one pool for each device.
//
// A region runs the tasks 0 ... tasks - 1, each exactly once, on whichever thread claims it; the caller takes part as one of the
// threads. What a task computes must depend on its number alone: then results depend neither on the number of threads nor on who
// ran what.
#pragma once

#include <cstdint>

namespace nf4j::cpu {

// A reference to a callable (int64_t task, int thread). It does not own it, and lives for the length of a region.
class TaskRef {
public:
    template <class F>
    TaskRef(const F &body)
        : body_(&body),
          run_([](const void *f, int64_t task, int thread) { (*static_cast<const F *>(f))(task, thread); }) {}

    void operator()(int64_t task, int thread) const { run_(body_, task, thread); }

private:
    const void *body_;
    void (*run_)(const void *, int64_t, int);
};

class ThreadPool {
public:
    // Bytes of scratch memory for each thread: address space only, pages are taken when touched.
    static constexpr int64_t scratch_bytes = int64_t{8} << 20;

    // threads >= 1, the caller of a region included. Null when threads or address space cannot be had.
    static ThreadPool *create(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    int threads() const;

    // Runs body(task, thread) for every task and returns when all have finished; 0 <= thread < threads(), and no two tasks run at
    // once with the same thread. Allocates nothing. Regions of several callers run one after the other. Called from within a task of
    // this pool, it runs all tasks inline with the outer task's thread.
    //
    // What the caller wrote before is visible to every task, and what the tasks wrote is visible to the caller after.
    void parallel_for(int64_t tasks, TaskRef body);

    // scratch_bytes of page-aligned memory that belongs to `thread` for the length of a task; a nested region shares its outer task's.
    char *scratch(int thread) const;

private:
    struct State;
    explicit ThreadPool(State *state);
    State *state_;
};

}  // namespace nf4j::cpu
