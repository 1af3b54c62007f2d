// NF4 and dense products of the cpu backend beside the same product in F32 by a BLAS, on pre-dequantized weights.
//
//     gemm_bench [path of an OpenBLAS, or - for none] [threads] [rounds] [M,N,K ...]
//
// Contenders take turns within each round, so a slow moment of the machine hits all of them; printed are the median
// time, the spread (quartiles) and the median over rounds of time / BLAS time. OpenBLAS takes its kernels from the
// processor's name; for a processor that it does not know, set OPENBLAS_CORETYPE (SkylakeX for AVX-512).
#include "nf4j.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace {

void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s\n", nf4j_last_error());
    std::exit(1);
}

// y = x * w^T or x * w by cblas_sgemm, under the name and with the integers of the library that was given.
class Blas {
public:
    Blas(const char *path, int threads) {
        // Its workers would spin on after each call and take a core from whoever is timed next.
        setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);
        void *library = dlopen(path, RTLD_NOW);
        if (!library) {
            std::fprintf(stderr, "%s\n", dlerror());
            std::exit(1);
        }
        for (const char *name : {"scipy_cblas_sgemm64_", "cblas_sgemm64_"}) {
            if (!wide_) wide_ = reinterpret_cast<Wide>(dlsym(library, name));
        }
        narrow_ = reinterpret_cast<Narrow>(dlsym(library, "cblas_sgemm"));
        if (!wide_ && !narrow_) {
            std::fprintf(stderr, "%s has no cblas_sgemm\n", path);
            std::exit(1);
        }
        for (const char *name : {"scipy_openblas_set_num_threads64_", "openblas_set_num_threads"}) {
            if (void *set = dlsym(library, name)) reinterpret_cast<void (*)(int)>(set)(threads);
        }
    }

    void multiply(const float *x, const float *w, float *y, int64_t m, int64_t n, int64_t k, bool transpose_w) const {
        constexpr int row_major = 101, plain = 111, transposed = 112;
        const int64_t ldw = transpose_w ? k : n;
        const int op = transpose_w ? transposed : plain;
        if (wide_) return wide_(row_major, plain, op, m, n, k, 1, x, k, w, ldw, 0, y, n);
        narrow_(row_major, plain, op, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1, x,
                static_cast<int>(k), w, static_cast<int>(ldw), 0, y, static_cast<int>(n));
    }

private:
    template <class Int>
    using Sgemm = void (*)(int, int, int, Int, Int, Int, float, const float *, Int, const float *, Int, float, float *,
                           Int);
    using Wide = Sgemm<int64_t>;
    using Narrow = Sgemm<int>;
    Wide wide_ = nullptr;
    Narrow narrow_ = nullptr;
};

struct Contender {
    const char *name;
    std::function<void()> run;
    const char *rival;  // the contender whose time divides this one's
    std::vector<double> seconds = {};
};

double quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

std::vector<float> random_values(int64_t count) {
    static std::mt19937 engine(1);
    std::vector<float> values(static_cast<size_t>(count));
    for (float &value : values) value = std::uniform_real_distribution<float>(-1, 1)(engine);
    return values;
}

nf4j_tensor tensor(void *data, int64_t rows, int64_t cols, int32_t dtype) { return {data, rows, cols, cols, dtype, 0}; }

void bench(nf4j_device *device, nf4j_stream *stream, const Blas *blas, int rounds, int64_t m, int64_t n, int64_t k) {
    std::vector<float> x = random_values(m * k), y = random_values(m * n), w = random_values(n * k),
                       bias = random_values(n);
    std::vector<uint16_t> x16(x.size()), y16(y.size());
    const nf4j_tensor tx = tensor(x.data(), m, k, NF4J_F32), ty = tensor(y.data(), m, n, NF4J_F32);
    const nf4j_tensor tx16 = tensor(x16.data(), m, k, NF4J_BF16), ty16 = tensor(y16.data(), m, n, NF4J_BF16);
    const nf4j_tensor tw = tensor(w.data(), n, k, NF4J_F32);
    must(nf4j_memory_cast(stream, &tx, &tx16));
    must(nf4j_memory_cast(stream, &ty, &ty16));
    nf4j_nf4_weight weight = {sizeof weight, 1, n, k, 64, nullptr, 0};
    must(nf4j_nf4_weight_bytes(device, n, k, 64, 1, &weight.bytes));
    must(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    must(nf4j_nf4_quantize(stream, &tw, &weight));
    const nf4j_matmul_options options = {sizeof options, 0, 1, 1, 0, 0};

    constexpr int64_t rank = 16;
    std::vector<float> a = random_values(rank * k), b = random_values(n * rank), u(static_cast<size_t>(m * rank));
    const nf4j_tensor ta = tensor(a.data(), rank, k, NF4J_F32), tb = tensor(b.data(), n, rank, NF4J_F32);
    const nf4j_tensor tu = tensor(u.data(), m, rank, NF4J_F32);
    const nf4j_linear base = {sizeof base, 0, nullptr, &weight, nullptr};
    const nf4j_lora lora = {sizeof lora, 0, 32, 0, 0, &ta, &tb, nullptr};

    std::vector<Contender> contenders;
    if (blas) {
        contenders.push_back(
            {"BLAS x W^T", [&] { blas->multiply(x.data(), w.data(), y.data(), m, n, k, true); }, nullptr});
        contenders.push_back(
            {"BLAS dy W", [&] { blas->multiply(y.data(), w.data(), x.data(), m, k, n, false); }, nullptr});
    }
    contenders.push_back(
        {"nf4 x W^T", [&] { must(nf4j_nf4_matmul(stream, &tx, &weight, nullptr, &ty)); }, "BLAS x W^T"});
    contenders.push_back({"nf4 dy W", [&] { must(nf4j_nf4_matmul_backward(stream, &ty, &weight, &tx)); }, "BLAS dy W"});
    contenders.push_back(
        {"dense x W^T", [&] { must(nf4j_dense_matmul(stream, &options, &tx, &tw, nullptr, &ty)); }, "BLAS x W^T"});
    contenders.push_back(
        {"lora r=16", [&] { must(nf4j_lora_forward(stream, &tx, &base, &lora, &tu, &ty)); }, "nf4 x W^T"});
    contenders.push_back(
        {"nf4 x W^T bf16", [&] { must(nf4j_nf4_matmul(stream, &tx16, &weight, nullptr, &ty16)); }, "BLAS x W^T"});
    contenders.push_back(
        {"nf4 dy W bf16", [&] { must(nf4j_nf4_matmul_backward(stream, &ty16, &weight, &tx16)); }, "BLAS dy W"});

    for (int round = -1; round < rounds; round++) {  // the first warms up
        for (Contender &contender : contenders) {
            const auto begin = std::chrono::steady_clock::now();
            contender.run();
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
            if (round >= 0) contender.seconds.push_back(took.count());
        }
    }
    std::printf("\nM=%lld N=%lld K=%lld\n", static_cast<long long>(m), static_cast<long long>(n),
                static_cast<long long>(k));
    std::printf("  %-16s %10s %21s %9s %10s\n", "", "median ms", "quartiles", "GFLOP/s", "ratio");
    for (const Contender &c : contenders) {
        const double median = quantile(c.seconds, 0.5);
        std::printf("  %-16s %10.3f %10.3f %10.3f %9.1f", c.name, median * 1e3, quantile(c.seconds, 0.25) * 1e3,
                    quantile(c.seconds, 0.75) * 1e3, 2e-9 * static_cast<double>(m * n * k) / median);
        for (const Contender &rival : contenders) {
            if (!c.rival || std::strcmp(c.rival, rival.name) != 0) continue;
            std::vector<double> ratios;
            for (size_t i = 0; i < c.seconds.size(); i++) ratios.push_back(c.seconds[i] / rival.seconds[i]);
            std::printf(" %10.3f of %s", quantile(ratios, 0.5), rival.name);
        }
        std::printf("\n");
    }
    must(nf4j_memory_free(device, weight.data));
}

}  // namespace

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "-";
    nf4j_device_options options = {
        sizeof options, NF4J_BACKEND_CPU, 0, argc > 2 ? std::atoi(argv[2]) : 0, NF4J_ISA_AUTO, 0};
    const int rounds = argc > 3 ? std::atoi(argv[3]) : 15;
    nf4j_device *device;
    nf4j_stream *stream;
    must(nf4j_device_open(&options, &device));
    must(nf4j_stream_create(device, nullptr, &stream));
    nf4j_device_info info = {};
    info.struct_size = sizeof info;
    must(nf4j_device_get_info(device, &info));
    std::printf("%s, %d threads, %d rounds, BLAS %s\n", info.name, info.threads, rounds, path);
    Blas *blas = std::strcmp(path, "-") == 0 ? nullptr : new Blas(path, info.threads);
    std::vector<std::string> shapes(argv + std::min(argc, 4), argv + argc);
    if (shapes.empty()) shapes = {"1,4096,4096", "256,2048,2048", "256,4096,4096", "1024,4096,4096", "512,2048,4096"};
    for (const std::string &shape : shapes) {
        long long m, n, k;
        if (std::sscanf(shape.c_str(), "%lld,%lld,%lld", &m, &n, &k) != 3) {
            std::fprintf(stderr, "shape %s: expected M,N,K\n", shape.c_str());
            return 2;
        }
        bench(device, stream, blas, rounds, m, n, k);
    }
    delete blas;
    must(nf4j_stream_destroy(stream));
    must(nf4j_device_close(device));
    return 0;
}
