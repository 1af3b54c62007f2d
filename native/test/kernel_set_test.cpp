// cuda/kernel_set.h: what several threads add at once is there for all of them, once; and what finds no place is not.
#include "cuda/kernel_set.h"
#include "support.h"

#include <thread>
#include <vector>

using nf4j::cuda::KernelSet;
using namespace nf4j::test;

namespace {

const char kernels[2 * KernelSet::most] = {};  // their addresses

// Threads that add the same kernels, each beginning with another one. Were one kept twice, the last would find no place.
void test_threads() {
    for (int round = 0; round < 50; round++) {
        KernelSet set;
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; t++) {
            threads.emplace_back([&set, t] {
                for (int i = 0; i < KernelSet::most; i++)
                    set.add(&kernels[(i + t * KernelSet::most / 4) % KernelSet::most]);
            });
        }
        for (std::thread &thread : threads) thread.join();
        int contained = 0;
        for (int i = 0; i < KernelSet::most; i++) contained += set.contains(&kernels[i]);
        check(contained == KernelSet::most, "%d of %d kernels are there", contained, KernelSet::most);
    }
}

void test_full() {
    KernelSet set;
    for (int i = 0; i < KernelSet::most; i++) {
        check(!set.contains(&kernels[i]), "kernel %d is there before it was added", i);
        set.add(&kernels[i]);
        set.add(&kernels[i]);
        check(set.contains(&kernels[i]), "kernel %d is not there", i);
    }
    set.add(&kernels[KernelSet::most]);
    check(!set.contains(&kernels[KernelSet::most]), "more kernels are there than have places");
}

}  // namespace

int main() {
    test_threads();
    test_full();
    return finish("kernel_set_test");
}
