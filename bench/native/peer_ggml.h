// The matrix product of llama.cpp, which is ggml's, with weights in 4 bits. Found at run time: no header of ggml is needed to build.
#pragma once

#include "peer.h"

namespace peer {

// y = x * w^T with w in Q4_0: blocks of 32 with one scale in half precision, whole numbers instead of NF4's sixteen values. x is
// rounded to 8 bits inside the product. Weights lie in the order that ggml likes best on this processor, as in llama.cpp.
class Ggml : public Library, private Functions {
public:
    Ggml(void *library, int threads) : Functions(library) {
        backend_ = call<void *>("ggml_backend_cpu_init");
        if (backend_) call<void>("ggml_backend_cpu_set_n_threads", backend_, threads);
    }

    Ggml(const Ggml &) = delete;
    Ggml &operator=(const Ggml &) = delete;

    ~Ggml() override {
        release();
        if (backend_) call<void>("ggml_backend_free", backend_);
    }

    std::string version() override {
        const char *version = call<const char *>("ggml_version");
        return std::string("ggml ") + (version ? version : "unknown");
    }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        release();
        if (shape.bf16) return "takes activations in F32 only";
        if (!shape.transpose_b) return "has no product with the other side of packed weights";
        slots_ = &slots;
        for (Slot &slot : slots) {
            Set set = {};
            set.weights = context();
            set.others = context();
            set.w = call<void *>("ggml_new_tensor_2d", set.weights, kQ4, shape.k, shape.n);
            set.x = call<void *>("ggml_new_tensor_2d", set.others, kF32, shape.k, shape.m);
            set.y = call<void *>("ggml_mul_mat", set.others, set.w, set.x);
            set.graph = call<void *>("ggml_new_graph", set.others);
            if (!problem().empty()) return problem();
            call<void>("ggml_build_forward_expand", set.graph, set.y);
            sets_.push_back(set);
            allocate(sets_.back());
            fill(sets_.back(), shape, slot);
            if (!problem().empty()) return problem();
        }
        bytes_ = static_cast<size_t>(shape.m * shape.n) * sizeof(float);
        compute_ = reinterpret_cast<Compute>(symbol("ggml_backend_graph_compute"));
        return problem();
    }

    double rounding(const Shape &) const override { return 1e-2; }

    void run(size_t slot) override { compute_(backend_, sets_[slot].graph); }

    void fetch(size_t slot) override {
        call<void>("ggml_backend_tensor_get", sets_[slot].y, (*slots_)[slot].c.data(), size_t{0}, bytes_);
    }

private:
    // Part of ggml's binary interface.
    static constexpr int kF32 = 0, kQ4 = 2, kBlock = 32, kBlockBytes = 18;
    struct Init {
        size_t bytes;
        void *buffer;
        bool no_data;
    };
    struct Set {
        void *weights, *others;  // contexts
        void *weights_memory, *others_memory;
        void *w, *x, *y, *graph;
    };
    using Compute = int (*)(void *, void *);

    void *context() { return call<void *>("ggml_init", Init{size_t{1} << 20, nullptr, true}); }

    // Weights go to the first kind of memory in which the processor has a product for them.
    void allocate(Set &set) {
        void *device = call<void *>("ggml_backend_get_device", backend_);
        void *registry = call<void *>("ggml_backend_dev_backend_reg", device);
        using Extra = void **(*)(void *);
        const auto extra = reinterpret_cast<Extra>(
            call<void *>("ggml_backend_reg_get_proc_address", registry, "ggml_backend_dev_get_extra_bufts"));
        for (void **kind = extra ? extra(device) : nullptr; kind && *kind && !set.weights_memory; kind++) {
            set.weights_memory = call<void *>("ggml_backend_alloc_ctx_tensors_from_buft", set.weights, *kind);
            if (!set.weights_memory ||
                call<bool>("ggml_backend_dev_supports_op", device, static_cast<const void *>(set.y)))
                continue;
            fail("cannot multiply with weights where it puts them");
        }
        if (!set.weights_memory)
            set.weights_memory = call<void *>("ggml_backend_alloc_ctx_tensors", set.weights, backend_);
        set.others_memory = call<void *>("ggml_backend_alloc_ctx_tensors", set.others, backend_);
        if (!set.weights_memory || !set.others_memory) fail("has no memory for it");
    }

    // Quantizes b, and leaves in it what the check multiplies with.
    void fill(Set &set, const Shape &shape, Slot &slot) {
        if (!problem().empty()) return;
        std::vector<uint8_t> packed(static_cast<size_t>(shape.n * shape.k / kBlock * kBlockBytes));
        float *b = static_cast<float *>(slot.b.data());
        call<size_t>("ggml_quantize_chunk", kQ4, static_cast<const float *>(b), static_cast<void *>(packed.data()),
                     int64_t{0}, shape.n, shape.k, static_cast<const float *>(nullptr));
        call<void>("ggml_backend_tensor_set", set.w, static_cast<const void *>(packed.data()), size_t{0},
                   packed.size());
        call<void>("ggml_backend_tensor_set", set.x, static_cast<const void *>(slot.a.data()), size_t{0},
                   static_cast<size_t>(shape.m * shape.k) * sizeof(float));
        for (size_t block = 0; block < packed.size() / kBlockBytes; block++) {
            const uint8_t *from = &packed[block * kBlockBytes];
            uint16_t half;
            std::memcpy(&half, from, sizeof half);
            const float scale = call<float>("ggml_fp16_to_fp32", half);
            for (int i = 0; i < kBlock; i++) {
                const int code = i < kBlock / 2 ? from[2 + i] & 15 : from[2 + i - kBlock / 2] >> 4;
                b[block * kBlock + static_cast<size_t>(i)] = static_cast<float>(code - 8) * scale;
            }
        }
    }

    void release() {
        for (Set &set : sets_) {
            for (void *memory : {set.weights_memory, set.others_memory}) {
                if (memory) call<void>("ggml_backend_buffer_free", memory);
            }
            for (void *context : {set.weights, set.others}) call<void>("ggml_free", context);
        }
        sets_.clear();
    }

    void *backend_ = nullptr;
    std::vector<Set> sets_;
    std::vector<Slot> *slots_ = nullptr;
    size_t bytes_ = 0;
    Compute compute_ = nullptr;
};

}  // namespace peer
