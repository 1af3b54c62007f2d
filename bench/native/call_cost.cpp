// The calls of bench/jmh's CallCost made from C, with the same arguments, and the shortest products of 16 tokens, which a
// call should be little beside: nanoseconds per call, the median of some repetitions.
//
//     call_cost [CALLS]    of each repetition
#include "nf4j.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kRepetitions = 15, kWidth = 64;
int calls = 200'000;

void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s\n", nf4j_last_error());
    std::exit(1);
}

template <class Call>
void time(const char *name, Call call, int count = calls) {
    std::vector<double> nanos;
    for (int i = 0; i <= kRepetitions; i++) {
        const auto begin = std::chrono::steady_clock::now();
        for (int j = 0; j < count; j++) call();
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
        if (i > 0) nanos.push_back(took.count() / count);  // the first warms up
    }
    std::sort(nanos.begin(), nanos.end());
    std::printf("%-16s %8.2f ns\n", name, nanos[nanos.size() / 2]);
}

// The smallest layer of the smallest model that is measured, SmolLM2-135M's k, on all cores, as users run it.
void products() {
    constexpr int64_t m = 16, n = 192, k = 576;
    constexpr int fewer = 200;  // calls: each takes so much longer
    const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, 0, NF4J_ISA_AUTO, 0};
    nf4j_device *device;
    nf4j_stream *stream;
    must(nf4j_device_open(&options, &device));
    must(nf4j_stream_create(device, nullptr, &stream));
    alignas(64) static float source[n * k], in[m * k], out[m * n];
    const nf4j_tensor dense = {source, n, k, k, NF4J_F32, 0};
    must(nf4j_memory_fill(stream, 0.5, &dense));
    nf4j_nf4_weight weight = {sizeof weight, 1, n, k, 64, nullptr, 0};
    must(nf4j_nf4_weight_bytes(device, n, k, 64, 1, &weight.bytes));
    must(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    must(nf4j_nf4_quantize(stream, &dense, &weight));
    for (const int32_t dtype : {NF4J_F32, NF4J_BF16}) {
        const nf4j_tensor x = {in, m, k, k, dtype, 0}, y = {out, m, n, n, dtype, 0};
        must(nf4j_memory_fill(stream, 0.5, &x));
        time(
            dtype == NF4J_F32 ? "product16F32" : "product16Bf16",
            [&] { must(nf4j_nf4_matmul(stream, &x, &weight, nullptr, &y)); }, calls / fewer + 1);
    }
    must(nf4j_memory_free(device, weight.data));
    must(nf4j_stream_destroy(stream));
    must(nf4j_device_close(device));
}

}  // namespace

int main(int argc, char **argv) {
    if (argc > 1) calls = std::atoi(argv[1]);
    if (calls < 1) {
        std::fprintf(stderr, "usage: call_cost [CALLS]\n");
        return 2;
    }
    const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, 1, NF4J_ISA_AUTO, 0};
    nf4j_device *device;
    nf4j_stream *stream;
    must(nf4j_device_open(&options, &device));
    must(nf4j_stream_create(device, nullptr, &stream));
    alignas(64) static float memory[9][kWidth], matrix[kWidth * kWidth];
    nf4j_tensor vectors[9];
    for (int i = 0; i < 9; i++) {
        vectors[i] = {memory[i], 1, kWidth, kWidth, NF4J_F32, 0};
        must(nf4j_memory_fill(stream, 0.5, &vectors[i]));
    }
    const nf4j_tensor &x = vectors[0], &y = vectors[1], &row = vectors[2], &table = vectors[4];
    const nf4j_tensor rstd = {memory[3], 1, 1, 1, NF4J_F32, 0}, dense = {matrix, kWidth, kWidth, kWidth, NF4J_F32, 0},
                      column = {memory[5], kWidth, 1, 1, NF4J_F32, 0};
    must(nf4j_memory_fill(stream, 0.5, &dense));
    int32_t zero = 0;
    const int32_t offsets[] = {0, 1};
    const nf4j_tensor token = {&zero, 1, 1, 1, NF4J_I32, 0};
    nf4j_nf4_weight weight = {sizeof weight, 1, kWidth, kWidth, 64, nullptr, 0};
    must(nf4j_nf4_weight_bytes(device, kWidth, kWidth, 64, 1, &weight.bytes));
    must(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    must(nf4j_nf4_quantize(stream, &dense, &weight));
    const nf4j_linear packed = {sizeof packed, 0, nullptr, &weight, nullptr},
                      head = {sizeof head, 0, &dense, nullptr, nullptr};
    const nf4j_lora lora = {sizeof lora, 0, 1, 0, 0, &row, &column, nullptr};
    const nf4j_matmul_options product = {sizeof product, 0, 1, 1, 0, 0};
    const nf4j_attention_options attention = {sizeof attention, 1, 1, kWidth, 0.125f, 0, 1, offsets, nullptr, nullptr};
    const nf4j_adamw_options adamw = {sizeof adamw, 0, 0.9f, 0.999f, 1e-8f, 0, 1, nullptr};
    const nf4j_adamw_parameter parameter = {memory[6], memory[2], memory[7], memory[8], nullptr, kWidth};

    time("abiVersion", [] { nf4j_abi_version(); });
    time("memoryFill", [&] { must(nf4j_memory_fill(stream, 1, &rstd)); });
    time("memoryAdd", [&] { must(nf4j_memory_add(stream, &x, &row, &y)); });
    time("normForward", [&] { must(nf4j_norm_forward(stream, &x, &row, 1e-5f, &rstd, &y)); });
    time("ropeForward", [&] { must(nf4j_rope_forward(stream, &x, &table, &y)); });
    time("swigluForward", [&] { must(nf4j_mlp_swiglu_forward(stream, &x, &row, &y)); });
    time("embeddingForward", [&] { must(nf4j_embedding_forward(stream, &token, &dense, &y)); });
    time("attentionForward", [&] { must(nf4j_attention_forward(stream, &attention, &x, &row, &table, &rstd, &y)); });
    time("nf4Matmul", [&] { must(nf4j_nf4_matmul(stream, &x, &weight, nullptr, &y)); });
    time("denseMatmul", [&] { must(nf4j_dense_matmul(stream, &product, &x, &dense, nullptr, &y)); });
    time("loraForward", [&] { must(nf4j_lora_forward(stream, &x, &packed, &lora, &rstd, &y)); });
    time("crossEntropy", [&] { must(nf4j_loss_linear_cross_entropy(stream, &x, &head, &token, 1, &rstd, &y)); });
    time("adamw", [&] { must(nf4j_optim_adamw(stream, &adamw, &parameter, 1, nullptr)); });

    must(nf4j_memory_free(device, weight.data));
    must(nf4j_stream_destroy(stream));
    must(nf4j_device_close(device));
    products();
    return 0;
}
