// The host's side of a device, through nf4j.h alone: device_test [reference|cpu|simt|cuda].
#include "support.h"

#include <cstring>

using namespace nf4j::test;

namespace {

struct Opened {
    explicit Opened(int32_t backend) {
        nf4j_device_options options = {};
        options.struct_size = sizeof options;
        options.backend = backend;
        status = nf4j_device_open(&options, &device);
        if (status == NF4J_OK) must(nf4j_stream_create(device, nullptr, &stream), "stream_create");
    }
    ~Opened() {
        must(nf4j_stream_destroy(stream), "stream_destroy");
        must(nf4j_device_close(device), "device_close");
    }
    Opened(const Opened &) = delete;
    Opened &operator=(const Opened &) = delete;

    int32_t status;
    nf4j_device *device = nullptr;
    nf4j_stream *stream = nullptr;
};

nf4j_tensor bytes_of(void *data, int64_t rows, int64_t cols, int64_t ld) { return {data, rows, cols, ld, NF4J_U8, 0}; }

void test_info(const Opened &on) {
    nf4j_device_info info = {};
    info.struct_size = sizeof info;
    must(nf4j_device_get_info(on.device, &info), "get_info");
    check(info.total_memory > 0 && info.free_memory > 0 && info.free_memory <= info.total_memory, "memory %lld of %lld",
          static_cast<long long>(info.free_memory), static_cast<long long>(info.total_memory));
    check(std::strlen(info.name) > 0, "no name");
}

// More than there is: the text has the sizes, and the device goes on.
void test_out_of_memory(const Opened &on) {
    void *data = &data;
    const int64_t too_much = int64_t{1} << 50;
    check(nf4j_memory_alloc(on.device, too_much, &data) == NF4J_OUT_OF_MEMORY, "1 PiB was allocated");
    check(data == nullptr, "data was set");
    check(std::strstr(nf4j_last_error(), "1125899906842624") != nullptr, "no size in: %s", nf4j_last_error());
    nf4j_stream_options options = {};
    options.struct_size = sizeof options;
    options.workspace_bytes = too_much;
    nf4j_stream *stream = nullptr;
    check(nf4j_stream_create(on.device, &options, &stream) == NF4J_OUT_OF_MEMORY, "a workspace of 1 PiB was allocated");
    must(nf4j_memory_alloc(on.device, 64, &data), "memory_alloc afterwards");
    must(nf4j_memory_free(on.device, data), "memory_free");
}

// From the host, between two places of the device, and back: with rows that have gaps.
void test_copies(const Opened &on) {
    constexpr int64_t rows = 37, cols = 53, ld = 64;
    std::vector<uint8_t> from(rows * ld), back(rows * ld, 0xee);
    for (size_t i = 0; i < from.size(); i++) from[i] = static_cast<uint8_t>(i * 7 + i / 251);
    void *a, *b;
    must(nf4j_memory_alloc(on.device, rows * ld, &a), "memory_alloc");
    must(nf4j_memory_alloc(on.device, rows * ld, &b), "memory_alloc");
    const nf4j_tensor host = bytes_of(from.data(), rows, cols, ld), first = bytes_of(a, rows, cols, cols);
    const nf4j_tensor second = bytes_of(b, rows, cols, ld), result = bytes_of(back.data(), rows, cols, ld);
    must(nf4j_memory_copy(on.stream, &host, &first), "copy to the device");
    must(nf4j_memory_copy(on.stream, &first, &second), "copy on the device");
    must(nf4j_memory_copy(on.stream, &second, &result), "copy to the host");
    must(nf4j_stream_synchronize(on.stream), "synchronize");
    for (size_t i = 0; i < back.size(); i++) {
        const uint8_t wanted = i % ld < cols ? from[i] : 0xee;
        if (!check(back[i] == wanted, "byte %zu is %d, expected %d", i, back[i], wanted)) break;
    }
    must(nf4j_memory_free(on.device, a), "memory_free");
    must(nf4j_memory_free(on.device, b), "memory_free");
}

// Paged memory is memory: AdamW with its states there takes the very steps of one with its states in device memory.
void test_paged(const Opened &on) {
    constexpr int64_t n = 5000;
    void *data = &data;
    must(nf4j_memory_alloc_paged(on.device, 0, &data), "memory_alloc_paged");
    check(data == nullptr, "0 bytes gave memory");
    check(nf4j_memory_alloc_paged(on.device, -1, &data) == NF4J_INVALID_ARGUMENT, "-1 bytes were allocated");
    std::vector<float> results[2];
    for (const bool paged : {false, true}) {
        void *arrays[4];  // parameter, gradient, m, v
        for (int i = 0; i < 4; i++) {
            must((paged && i >= 2 ? nf4j_memory_alloc_paged : nf4j_memory_alloc)(on.device, n * 4, &arrays[i]),
                 "alloc");
            const nf4j_tensor t = {arrays[i], 1, n, n, NF4J_F32, 0};
            must(nf4j_memory_fill(on.stream, i == 0 ? 1.5 : i == 1 ? -0.75 : 0, &t), "fill");
        }
        const nf4j_adamw_parameter parameter = {
            static_cast<float *>(arrays[0]), static_cast<float *>(arrays[1]), arrays[2], arrays[3], nullptr, n};
        for (int64_t step = 1; step <= 3; step++) {
            const nf4j_adamw_options options = {sizeof options, 0.1f, 0.9f, 0.999f, 1e-8f, 0.01f, step, nullptr};
            for (int i = 2; i < 4; i++) must(nf4j_memory_prefetch(on.stream, arrays[i], n * 4), "memory_prefetch");
            must(nf4j_optim_adamw(on.stream, &options, &parameter, 1, nullptr), "adamw");
        }
        std::vector<float> &result = results[paged ? 1 : 0];
        result.resize(4 * n);
        for (int i = 0; i < 4; i++) {
            const nf4j_tensor from = {arrays[i], 1, n, n, NF4J_F32, 0},
                              to = {result.data() + i * n, 1, n, n, NF4J_F32, 0};
            must(nf4j_memory_copy(on.stream, &from, &to), "copy");
        }
        must(nf4j_stream_synchronize(on.stream), "synchronize");
        for (void *array : arrays) must(nf4j_memory_free(on.device, array), "memory_free");
    }
    check(results[0][0] > 1.5f && std::memcmp(results[0].data(), results[1].data(), results[0].size() * 4) == 0,
          "with paged states AdamW took another step");
}

void run(int32_t backend) {
    const Opened on(backend);
    must(on.status, "device_open");
    test_info(on);
    test_out_of_memory(on);
    test_copies(on);
    test_paged(on);
}

}  // namespace

int main(int count, char **arguments) { return test_backends("device_test", count, arguments, run); }
