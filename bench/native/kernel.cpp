// Times calls of the C ABI from C, each operation on the shapes of the harness' cases: what is left when the JVM is taken away.
//
//     kernel THREADS
//
// It is told line by line and answers each with one line:
//
//     case OP f32|bf16 SLOTS NAME=SIZE ...    prepares SLOTS sets of buffers: ready NANOSECONDS CALLS (of one sample), or failed REASON
//     sample COUNT                            COUNT times in microseconds per call
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernel_cases.h"

namespace {

using Clock = std::chrono::steady_clock;

// Rotates through the slots; a sample is long enough for the clock.
class Timer {
public:
    explicit Timer(kernel::Case &subject) : subject_(subject) {
        double nanos = 1e30;
        for (int i = 0; i < 5; i++) nanos = std::min(nanos, sample());
        calls_ = std::clamp(static_cast<int>(std::ceil(1e5 / nanos)), 1, 4096);
        sample_nanos_ = nanos * calls_;
    }

    double sample_nanos() const { return sample_nanos_; }
    int calls() const { return calls_; }

    double sample() {  // nanoseconds per call
        const auto begin = Clock::now();
        for (int i = 0; i < calls_; i++) {
            subject_.run(next_);
            next_ = (next_ + 1) % subject_.slots();
        }
        return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / calls_;
    }

private:
    kernel::Case &subject_;
    size_t next_ = 0;
    int calls_ = 1;
    double sample_nanos_ = 0;
};

}  // namespace

int main(int argc, char **argv) {
    if (argc != 2 || std::atoi(argv[1]) < 1) {
        std::fprintf(stderr, "usage: kernel THREADS\n");
        return 2;
    }
    setvbuf(stdout, nullptr, _IOLBF, 0);
    kernel::Context context(std::atoi(argv[1]));
    std::unique_ptr<kernel::Case> subject;
    std::unique_ptr<Timer> timer;
    char line[512];
    while (std::fgets(line, sizeof line, stdin)) {
        std::istringstream words(line);
        std::string word;
        words >> word;
        long long count = 0;
        if (word == "case") {
            std::string op, type, size;
            words >> op >> type >> count;
            kernel::Sizes sizes;
            while (words >> size) sizes[size.substr(0, size.find('='))] = std::atoll(size.c_str() + size.find('=') + 1);
            timer.reset();
            subject = kernel::prepare(context, op, type == "bf16", static_cast<size_t>(count), sizes);
            if (subject) {
                timer = std::make_unique<Timer>(*subject);
                std::printf("ready %.0f %d\n", timer->sample_nanos(), timer->calls());
            } else {
                std::printf("failed the C driver has no %s\n", op.c_str());
            }
        } else if (timer && word == "sample" && words >> count) {
            for (long long i = 0; i < count; i++) std::printf("%s%.4f", i ? " " : "", timer->sample() / 1e3);
            std::printf("\n");
        } else {
            std::printf("failed cannot do: %s", line);
        }
    }
    return 0;
}
