// Stackful coroutines: what a suspended CUDA thread is on the host.
#pragma once

#include <cstddef>
#include <vector>

namespace nf4j::simt {

// Saves the callee's registers on the running stack, stores that stack's pointer in *save and goes on where `resume`,
// such a pointer, was saved.
extern "C" void nf4j_simt_switch(void **save, void *resume);

// Stacks with a page below each that traps an overflow.
class Stacks {
public:
    Stacks() = default;
    ~Stacks();
    Stacks(const Stacks &) = delete;
    Stacks &operator=(const Stacks &) = delete;

    // Makes sure of `count` stacks; false when there is no memory.
    bool reserve(int count);
    // What to resume so that `entry`, which must not return, begins on an empty stack.
    void *prepare(int number, void (*entry)()) const;

private:
    std::vector<char *> stacks_;
};

}  // namespace nf4j::simt
