// The calls of bench/jmh's CallCost made from C, with the same arguments: nanoseconds per call, the median of some repetitions.
#include "nf4j.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kRepetitions = 15, kCalls = 200'000, kWidth = 64;

void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s\n", nf4j_last_error());
    std::exit(1);
}

template <class Call>
void time(const char *name, Call call) {
    std::vector<double> nanos;
    for (int i = 0; i <= kRepetitions; i++) {
        const auto begin = std::chrono::steady_clock::now();
        for (int j = 0; j < kCalls; j++) call();
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
        if (i > 0) nanos.push_back(took.count() / kCalls);  // the first warms up
    }
    std::sort(nanos.begin(), nanos.end());
    std::printf("%-16s %8.2f ns\n", name, nanos[nanos.size() / 2]);
}

}  // namespace

int main() {
    const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, 1, NF4J_ISA_AUTO, 0};
    nf4j_device *device;
    nf4j_stream *stream;
    must(nf4j_device_open(&options, &device));
    must(nf4j_stream_create(device, nullptr, &stream));
    alignas(64) static float memory[5][kWidth], matrix[kWidth * kWidth];
    nf4j_tensor vectors[5];
    for (int i = 0; i < 5; i++) {
        vectors[i] = {memory[i], 1, kWidth, kWidth, NF4J_F32, 0};
        must(nf4j_memory_fill(stream, 0.5, &vectors[i]));
    }
    const nf4j_tensor &x = vectors[0], &y = vectors[1], &row = vectors[2], &table = vectors[4];
    const nf4j_tensor rstd = {memory[3], 1, 1, 1, NF4J_F32, 0}, dense = {matrix, kWidth, kWidth, kWidth, NF4J_F32, 0};
    must(nf4j_memory_fill(stream, 0.5, &dense));
    nf4j_nf4_weight weight = {sizeof weight, 1, kWidth, kWidth, 64, nullptr, 0};
    must(nf4j_nf4_weight_bytes(device, kWidth, kWidth, 64, 1, &weight.bytes));
    must(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    must(nf4j_nf4_quantize(stream, &dense, &weight));

    time("abiVersion", [] { nf4j_abi_version(); });
    time("memoryFill", [&] { must(nf4j_memory_fill(stream, 1, &rstd)); });
    time("memoryAdd", [&] { must(nf4j_memory_add(stream, &x, &row, &y)); });
    time("normForward", [&] { must(nf4j_norm_forward(stream, &x, &row, 1e-5f, &rstd, &y)); });
    time("ropeForward", [&] { must(nf4j_rope_forward(stream, &x, &table, &y)); });
    time("swigluForward", [&] { must(nf4j_mlp_swiglu_forward(stream, &x, &row, &y)); });
    time("nf4Matmul", [&] { must(nf4j_nf4_matmul(stream, &x, &weight, nullptr, &y)); });

    must(nf4j_memory_free(device, weight.data));
    must(nf4j_stream_destroy(stream));
    must(nf4j_device_close(device));
    return 0;
}
