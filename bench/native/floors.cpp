// What this machine can do at most, as one line of JSON:
//
//     floors THREADS MIB SECONDS
//
// copy_gbs (bytes read and written) and read_gbs of buffers of MIB altogether, which should be several times the last-level
// cache; fma_gflops in F32; bf16_gflops of BF16 dot products with F32 sums, null where the processor has none. Each is the best
// of the repetitions that fit in SECONDS: a floor is what is possible, not what is usual.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
using Task = std::function<void(int thread)>;

// Twelve independent chains: more than latency times throughput of any core so far, few enough for sixteen registers.
constexpr int kChains = 12;
constexpr long kSteps = 200'000;

// What a chain computes is stored here, or the compiler would leave it out.
volatile float sink;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void fma_avx512() {
    __m512 sums[kChains];
    for (int i = 0; i < kChains; i++) sums[i] = _mm512_set1_ps(static_cast<float>(i));
    const __m512 a = _mm512_set1_ps(sink), b = _mm512_set1_ps(0.5f);
    for (long step = 0; step < kSteps; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; i++) sums[i] = _mm512_fmadd_ps(sums[i], b, a);
    }
    for (const __m512 &sum : sums) sink = _mm512_cvtss_f32(sum);
}

__attribute__((target("avx2,fma"))) void fma_avx2() {
    __m256 sums[kChains];
    for (int i = 0; i < kChains; i++) sums[i] = _mm256_set1_ps(static_cast<float>(i));
    const __m256 a = _mm256_set1_ps(sink), b = _mm256_set1_ps(0.5f);
    for (long step = 0; step < kSteps; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; i++) sums[i] = _mm256_fmadd_ps(sums[i], b, a);
    }
    for (const __m256 &sum : sums) sink = _mm256_cvtss_f32(sum);
}

__attribute__((target("avx512f,avx512bf16"))) void dot_bf16() {
    __m512 sums[kChains];
    for (int i = 0; i < kChains; i++) sums[i] = _mm512_set1_ps(static_cast<float>(i));
    const __m512 one = _mm512_set1_ps(sink);
    const __m512bh a = _mm512_cvtne2ps_pbh(one, one);
    for (long step = 0; step < kSteps; step++) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; i++) sums[i] = _mm512_dpbf16_ps(sums[i], a, a);
    }
    for (const __m512 &sum : sums) sink = _mm512_cvtss_f32(sum);
}

// Tiles of AMX: four chains of 16 x 16 sums, three steps of 32 pairs of k at a time.
__attribute__((target("amx-tile,amx-bf16"))) void dot_tiles() {
    alignas(64) uint8_t config[64] = {1};  // the palette; then bytes of a row from byte 16 on, rows from byte 48 on
    for (int tile = 0; tile < 8; tile++) {
        config[16 + 2 * tile] = 64;
        config[48 + tile] = 16;
    }
    float sums[256];
    __asm__ volatile("" ::"r"(config) : "memory");
    _tile_loadconfig(config);
    for (long step = 0; step < kSteps; step++) {
#pragma GCC unroll 3
        for (int i = 0; i < kChains / 4; i++) {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, sums, 64);
    _tile_release();
    sink = sums[0];
}

// Linux lets a process have the tiles' state when it asks for it: ARCH_REQ_XCOMP_PERM, XTILEDATA.
bool has_tiles() { return __builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, 0x1023, 18) == 0; }
#endif

struct Kernel {
    void (*run)();
    int flops_per_step;  // of one chain
};

Kernel fma_kernel() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return {fma_avx512, 32};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {fma_avx2, 16};
    return {nullptr, 0};
#elif defined(__aarch64__)
    return {[] {
                float32x4_t sums[kChains];
                for (int i = 0; i < kChains; i++) sums[i] = vdupq_n_f32(static_cast<float>(i));
                const float32x4_t a = vdupq_n_f32(sink), b = vdupq_n_f32(0.5f);
                for (long step = 0; step < kSteps; step++) {
#pragma GCC unroll 12
                    for (int i = 0; i < kChains; i++) sums[i] = vfmaq_f32(a, sums[i], b);
                }
                for (const float32x4_t &sum : sums) sink = vgetq_lane_f32(sum, 0);
            },
            8};
#else
    return {nullptr, 0};
#endif
}

Kernel bf16_kernel() {
#if defined(__x86_64__)
    if (has_tiles()) return {dot_tiles, 16 * 16 * 32 * 2};
    if (__builtin_cpu_supports("avx512bf16")) return {dot_bf16, 64};
#endif
    return {nullptr, 0};
}

// Seconds of the fastest repetition of `task` on all threads, from the moment when the last one was ready to start.
double fastest(int threads, double seconds, const Task &task) {
    double best = 1e30;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    do {
        const auto begin = Clock::now();
        std::vector<std::thread> workers;
        for (int i = 1; i < threads; i++) workers.emplace_back(task, i);
        task(0);
        for (std::thread &worker : workers) worker.join();
        best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
    } while (Clock::now() < end);
    return best;
}

double gflops(const Kernel &kernel, int threads, double seconds) {
    constexpr int repeats = 10;  // a few milliseconds: starting a thread takes some ten microseconds
    const double took = fastest(threads, seconds, [&](int) {
        for (int i = 0; i < repeats; i++) kernel.run();
    });
    return 1e-9 * threads * repeats * static_cast<double>(kSteps) * kChains * kernel.flops_per_step / took;
}

void print_peak(const char *name, const Kernel &kernel, int threads, double seconds) {
    if (kernel.run) {
        std::printf(", \"%s\": %.4g", name, gflops(kernel, threads, seconds));
    } else {
        std::printf(", \"%s\": null", name);
    }
}

typedef uint64_t Wide __attribute__((vector_size(64)));

void read_all(const uint8_t *data, size_t bytes) {
    Wide sums[4] = {};
    for (size_t at = 0; at + sizeof sums <= bytes; at += sizeof sums) {
        for (size_t i = 0; i < 4; i++) {
            Wide value;
            std::memcpy(&value, data + at + i * sizeof value, sizeof value);
            sums[i] += value;
        }
    }
    sums[0] += sums[1] + sums[2] + sums[3];
    sink = static_cast<float>(sums[0][0] + sums[0][7]);
}

}  // namespace

int main(int argc, char **argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
    const long mib = argc > 2 ? std::atol(argv[2]) : 0;
    const double seconds = argc > 3 ? std::atof(argv[3]) : 0;
    if (threads < 1 || mib < 1 || seconds <= 0) {
        std::fprintf(stderr, "usage: floors THREADS MIB SECONDS\n");
        return 2;
    }
    const size_t half = static_cast<size_t>(mib) * 1024 * 1024 / 2 / static_cast<size_t>(threads);
    std::vector<std::vector<uint8_t>> from, to;
    for (int i = 0; i < threads; i++) {
        from.emplace_back(half, static_cast<uint8_t>(1));
        to.emplace_back(half, static_cast<uint8_t>(2));
    }
    const double bytes = 2.0 * static_cast<double>(half) * threads;
    const double copy = fastest(threads, seconds, [&](int i) {
        const size_t at = static_cast<size_t>(i);
        std::memcpy(to[at].data(), from[at].data(), half);
    });
    const double read = fastest(threads, seconds, [&](int i) {
        const size_t at = static_cast<size_t>(i);
        read_all(from[at].data(), half);
        read_all(to[at].data(), half);
    });
    std::printf("{\"copy_gbs\": %.4g, \"read_gbs\": %.4g", 1e-9 * bytes / copy, 1e-9 * bytes / read);
    print_peak("fma_gflops", fma_kernel(), threads, seconds);
    print_peak("bf16_gflops", bf16_kernel(), threads, seconds);
    std::printf(", \"threads\": %d}\n", threads);
    return 0;
}
