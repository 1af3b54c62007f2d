// Times matrix products of one library in a process of its own, so that its threads and settings meet nobody else's:
//
//     peer openblas|mkl|onednn|llama-cpp PATH THREADS    the library is loaded from PATH
//     peer nf4j - THREADS                                ours, called from C: what the way through the JVM adds to
//
// It is told line by line and answers each with one line:
//
//     version                                 what it is
//     gemm f32|bf16 M N K TRANSPOSED SLOTS    c [M, N] = a [M, K] * op(b), b stored [N, K] if TRANSPOSED is 1, else [K, N], in SLOTS
//                                             sets of buffers: ready NANOSECONDS (of one sample), or failed REASON
//     sample COUNT                            COUNT times in microseconds per call
//
// nf4j multiplies with an NF4 weight made from b, llama.cpp with one in Q4_0. oneDNN and llama.cpp may bring b into the order that
// they like before the clock starts, as nf4j does with its weights. Sums are checked in a few places against sums in double.
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "peer_cblas.h"
#include "peer_ggml.h"
#include "peer_nf4j.h"
#include "peer_onednn.h"

namespace {

using namespace peer;
using Clock = std::chrono::steady_clock;

// Rotates through the slots; a sample is long enough for the clock.
class Timer {
public:
    Timer(Library &library, size_t slots) : library_(library), slots_(slots) {
        double nanos = 1e30;
        for (int i = 0; i < 5; i++) nanos = std::min(nanos, sample());
        calls_ = std::clamp(static_cast<int>(std::ceil(1e5 / nanos)), 1, 4096);
        sample_nanos_ = nanos * calls_;
    }

    double sample_nanos() const { return sample_nanos_; }

    double sample() {  // nanoseconds per call
        const auto begin = Clock::now();
        for (int i = 0; i < calls_; i++) {
            library_.run(next_);
            next_ = (next_ + 1) % slots_;
        }
        return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / calls_;
    }

private:
    Library &library_;
    size_t slots_;
    size_t next_ = 0;
    int calls_ = 1;
    double sample_nanos_ = 0;
};

std::unique_ptr<Library> open(const std::string &name, const char *path, int threads) {
    if (name == "nf4j") return std::make_unique<Nf4j>(threads);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        std::printf("failed %s\n", dlerror());
        return nullptr;
    }
    if (name == "onednn") return std::make_unique<Onednn>(library);
    if (name == "llama-cpp") return std::make_unique<Ggml>(library, threads);
    return std::make_unique<Cblas>(library, threads);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4 || std::atoi(argv[3]) < 1) {
        std::fprintf(stderr, "usage: peer openblas|mkl|onednn|llama-cpp|nf4j PATH THREADS\n");
        return 2;
    }
    setvbuf(stdout, nullptr, _IOLBF, 0);
    std::unique_ptr<Library> library = open(argv[1], argv[2], std::atoi(argv[3]));
    if (!library) return 1;
    std::vector<Slot> slots;
    std::unique_ptr<Timer> timer;
    char line[256], type[8];
    while (std::fgets(line, sizeof line, stdin)) {
        long long m, n, k, count;
        int transposed;
        if (std::strcmp(line, "version\n") == 0) {
            std::printf("%s\n", library->version().c_str());
        } else if (std::sscanf(line, "gemm %7s %lld %lld %lld %d %lld", type, &m, &n, &k, &transposed, &count) == 6) {
            const Shape shape = {std::strcmp(type, "bf16") == 0, m, n, k, transposed != 0};
            const bool bf16_result = shape.bf16 && library->c_is_bf16();
            timer.reset();
            slots.clear();
            std::mt19937 engine(1);
            Slot first = {Matrix(m, k, shape.bf16),
                          shape.transpose_b ? Matrix(n, k, shape.bf16) : Matrix(k, n, shape.bf16),
                          Matrix(m, n, bf16_result)};
            first.a.randomize(engine);
            first.b.randomize(engine);
            slots.assign(static_cast<size_t>(count), first);
            std::string problem = library->prepare(shape, slots);
            if (problem.empty()) {
                library->run(0);
                library->fetch(0);
                problem = check(shape, slots[0], library->rounding(shape));
            }
            if (problem.empty()) {
                timer = std::make_unique<Timer>(*library, slots.size());
                std::printf("ready %.0f\n", timer->sample_nanos());
            } else {
                std::printf("failed %s\n", problem.c_str());
            }
        } else if (timer && std::sscanf(line, "sample %lld", &count) == 1) {
            for (long long i = 0; i < count; i++) std::printf("%s%.4f", i ? " " : "", timer->sample() / 1e3);
            std::printf("\n");
        } else {
            std::printf("failed cannot do: %s", line);
        }
    }
    return 0;
}
