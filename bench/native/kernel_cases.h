// The operations that bench/native/kernel.cpp times, each with buffers as the harness' cases have them.
#pragma once

#include "nf4j.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace kernel {

using Sizes = std::map<std::string, int64_t>;

inline void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::printf("failed %s\n", nf4j_last_error());
    std::exit(1);
}

struct Context {
    nf4j_device *device = nullptr;
    nf4j_stream *stream = nullptr;

    explicit Context(int threads) {
        const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, threads, NF4J_ISA_AUTO, 0};
        must(nf4j_device_open(&options, &device));
        must(nf4j_stream_create(device, nullptr, &stream));
    }

    ~Context() {
        nf4j_stream_destroy(stream);
        nf4j_device_close(device);
    }
};

// The buffers of one case, in as many sets as there are slots, and its call.
class Case {
public:
    Case(Context &context, bool bf16, size_t slots)
        : context_(context), type_(bf16 ? NF4J_BF16 : NF4J_F32), slots_(slots) {}
    Case(const Case &) = delete;
    Case &operator=(const Case &) = delete;

    ~Case() {
        for (void *memory : memory_) nf4j_memory_free(context_.device, memory);
    }

    size_t slots() const { return slots_; }
    void run(size_t slot) { call_(slot); }

protected:
    using Tensors = std::vector<nf4j_tensor>;

    static size_t bytes(int32_t dtype, int64_t rows, int64_t cols) {
        return static_cast<size_t>(rows * cols) * (dtype == NF4J_U8 ? 1 : dtype == NF4J_BF16 ? 2 : 4);
    }

    nf4j_tensor tensor(int32_t dtype, int64_t rows, int64_t cols) {
        return {allocate(static_cast<int64_t>(bytes(dtype, rows, cols))), rows, cols, cols, dtype, 0};
    }

    // Uniform in [low, high], the same in each slot.
    Tensors random(int32_t dtype, int64_t rows, int64_t cols, float low = -1, float high = 1) {
        const nf4j_tensor values = shared_random(NF4J_F32, rows, cols, low, high);
        Tensors result;
        for (size_t i = 0; i < slots_; i++) {
            result.push_back(tensor(dtype, rows, cols));
            must(nf4j_memory_cast(context_.stream, &values, &result.back()));
        }
        return result;
    }

    Tensors random(int64_t rows, int64_t cols) { return random(type_, rows, cols); }

    // One for all slots: what is larger than any cache by itself, or what others are made from.
    nf4j_tensor shared_random(int32_t dtype, int64_t rows, int64_t cols, float low = -1, float high = 1) {
        const nf4j_tensor values = tensor(NF4J_F32, rows, cols);
        std::uniform_real_distribution<float> uniform(low, high);
        for (int64_t i = 0; i < rows * cols; i++) static_cast<float *>(values.data)[i] = uniform(engine_);
        if (dtype == NF4J_F32) return values;
        const nf4j_tensor result = tensor(dtype, rows, cols);
        must(nf4j_memory_cast(context_.stream, &values, &result));
        return result;
    }

    nf4j_tensor shared_zeros(int32_t dtype, int64_t rows, int64_t cols) {
        const nf4j_tensor result = tensor(dtype, rows, cols);
        std::memset(result.data, 0, bytes(dtype, rows, cols));
        return result;
    }

    Tensors zeros(int32_t dtype, int64_t rows, int64_t cols) {
        Tensors result;
        for (size_t i = 0; i < slots_; i++) result.push_back(shared_zeros(dtype, rows, cols));
        return result;
    }

    // In [0, bound), others in each slot.
    Tensors integers(int64_t count, int64_t bound) {
        Tensors result = zeros(NF4J_I32, 1, count);
        for (nf4j_tensor &one : result) {
            for (int64_t i = 0; i < count; i++) {
                static_cast<int32_t *>(one.data)[i] = static_cast<int32_t>(static_cast<int64_t>(engine_()) % bound);
            }
        }
        return result;
    }

    // Blocks of 64, doubly quantized, as QLoRA stores its base.
    std::vector<nf4j_nf4_weight> quantized(int64_t rows, int64_t cols) {
        const nf4j_tensor dense = shared_random(type_, rows, cols);
        std::vector<nf4j_nf4_weight> result;
        for (size_t i = 0; i < slots_; i++) {
            nf4j_nf4_weight weight = {sizeof weight, 1, rows, cols, 64, nullptr, 0};
            must(nf4j_nf4_weight_bytes(context_.device, rows, cols, 64, 1, &weight.bytes));
            weight.data = allocate(weight.bytes);
            must(nf4j_nf4_quantize(context_.stream, &dense, &weight));
            result.push_back(weight);
        }
        return result;
    }

    // The same weights as bitsandbytes stores them.
    std::vector<nf4j_nf4_state> exported(const std::vector<nf4j_nf4_weight> &weights, int64_t rows, int64_t cols) {
        const int64_t blocks = (rows * cols + 63) / 64, nested = (blocks + 255) / 256;
        std::vector<nf4j_nf4_state> result;
        for (const nf4j_nf4_weight &weight : weights) {
            nf4j_nf4_state state = {};
            state.struct_size = sizeof state;
            state.rows = rows;
            state.cols = cols;
            state.block_size = 64;
            state.codes = static_cast<uint8_t *>(allocate((rows * cols + 1) / 2));
            state.absmax8 = static_cast<uint8_t *>(allocate(blocks));
            state.quant_map = static_cast<float *>(allocate(16 * 4));
            state.nested_absmax = static_cast<float *>(allocate(nested * 4));
            state.nested_map = static_cast<float *>(allocate(256 * 4));
            must(nf4j_nf4_export(context_.stream, &weight, &state));
            result.push_back(state);
        }
        return result;
    }

    void calls(std::function<int32_t(nf4j_stream *, size_t)> function) {
        nf4j_stream *stream = context_.stream;
        call_ = [function = std::move(function), stream](size_t slot) { must(function(stream, slot)); };
        run(0);
    }

    int32_t type() const { return type_; }

private:
    void *allocate(int64_t bytes) {
        void *data = nullptr;
        must(nf4j_memory_alloc(context_.device, bytes, &data));
        memory_.push_back(data);
        return data;
    }

    Context &context_;
    int32_t type_;
    size_t slots_;
    std::mt19937 engine_{1};
    std::vector<void *> memory_;
    std::function<void(size_t)> call_;
};

// null where there is no such operation
std::unique_ptr<Case> prepare(Context &context, const std::string &op, bool bf16, size_t slots, const Sizes &sizes);

}  // namespace kernel
