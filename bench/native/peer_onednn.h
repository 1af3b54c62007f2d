// oneDNN's matmul through its C interface, found at run time: no header of oneDNN is needed to build, and none that differs from
// the library can be taken.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "peer.h"

namespace onednn {

// Values of dnnl_types.h, which are part of oneDNN's binary interface.
constexpr int kCpu = 1, kDefaultStream = 1, kBf16 = 2, kF32 = 3, kAnyOrder = 1, kWeightsDescription = 131;
constexpr int kSource = 1, kDestination = 17, kWeights = 33;

// c [m, n] = a [m, k] * op(b) with b in the order that the library chose, brought there by add().
class Matmul : public peer::Functions {
public:
    Matmul(void *library, bool bf16, int64_t m, int64_t n, int64_t k, bool transpose_b) : Functions(library) {
        const int type = bf16 ? kBf16 : kF32;
        const int64_t a_size[] = {m, k}, b_size[] = {k, n}, c_size[] = {m, n};
        const int64_t a_step[] = {k, 1}, b_step[] = {transpose_b ? 1 : n, transpose_b ? k : 1}, c_step[] = {n, 1};
        void *b_any = nullptr;
        ok(call<int>("dnnl_engine_create", &engine_, kCpu, size_t{0}));
        ok(call<int>("dnnl_stream_create", &stream_, engine_, kDefaultStream));
        ok(call<int>("dnnl_memory_desc_create_with_strides", &a_, 2, a_size, type, a_step));
        ok(call<int>("dnnl_memory_desc_create_with_strides", &b_, 2, b_size, type, b_step));
        ok(call<int>("dnnl_memory_desc_create_with_strides", &c_, 2, c_size, type, c_step));
        ok(call<int>("dnnl_memory_desc_create_with_tag", &b_any, 2, b_size, type, kAnyOrder));
        ok(call<int>("dnnl_matmul_primitive_desc_create", &description_, engine_, a_, b_any, nullptr, c_, nullptr));
        ok(call<int>("dnnl_primitive_create", &matmul_, description_));
        if (b_any) call<int>("dnnl_memory_desc_destroy", b_any);
        if (!problem().empty()) return;
        using Query = const void *(*)(const void *, int, int);
        b_packed_ =
            reinterpret_cast<Query>(symbol("dnnl_primitive_desc_query_md"))(description_, kWeightsDescription, 0);
        ok(call<int>("dnnl_reorder_primitive_desc_create", &reorder_description_, b_, engine_, b_packed_, engine_,
                     nullptr));
        ok(call<int>("dnnl_primitive_create", &reorder_, reorder_description_));
    }

    Matmul(const Matmul &) = delete;
    Matmul &operator=(const Matmul &) = delete;

    ~Matmul() {
        for (Set &set : sets_) {
            for (void *memory : {set.a, set.b, set.c}) destroy("dnnl_memory_destroy", memory);
        }
        for (void *primitive : {matmul_, reorder_}) destroy("dnnl_primitive_destroy", primitive);
        for (void *description : {description_, reorder_description_})
            destroy("dnnl_primitive_desc_destroy", description);
        for (void *description : {a_, b_, c_}) destroy("dnnl_memory_desc_destroy", description);
        destroy("dnnl_stream_destroy", stream_);
        destroy("dnnl_engine_destroy", engine_);
    }

    // Another set of buffers.
    void add(void *a, void *b, void *c) {
        if (!problem().empty()) return;
        Set set = {};
        void *b_plain = nullptr;
        void *const allocate = reinterpret_cast<void *>(~uintptr_t{0});  // DNNL_MEMORY_ALLOCATE
        ok(call<int>("dnnl_memory_create", &set.a, a_, engine_, a));
        ok(call<int>("dnnl_memory_create", &b_plain, b_, engine_, b));
        ok(call<int>("dnnl_memory_create", &set.b, b_packed_, engine_, allocate));
        ok(call<int>("dnnl_memory_create", &set.c, c_, engine_, c));
        const Argument arguments[] = {{kSource, b_plain}, {kDestination, set.b}};
        ok(call<int>("dnnl_primitive_execute", reorder_, stream_, 2, arguments));
        ok(call<int>("dnnl_stream_wait", stream_));
        destroy("dnnl_memory_destroy", b_plain);
        sets_.push_back(set);
    }

    void run(size_t i) {
        const Set &set = sets_[i];
        const Argument arguments[] = {{kSource, set.a}, {kWeights, set.b}, {kDestination, set.c}};
        if (!execute_) {
            execute_ = reinterpret_cast<Execute>(symbol("dnnl_primitive_execute"));
            wait_ = reinterpret_cast<Wait>(symbol("dnnl_stream_wait"));
        }
        execute_(matmul_, stream_, 3, arguments);
        wait_(stream_);
    }

private:
    struct Argument {
        int name;
        void *memory;
    };
    struct Set {
        void *a, *b, *c;
    };
    using Execute = int (*)(const void *, void *, int, const Argument *);
    using Wait = int (*)(void *);

    void ok(int status) {
        if (status != 0) fail("oneDNN refused it with status " + std::to_string(status));
    }

    void destroy(const char *name, void *object) {
        if (object) call<int>(name, object);
    }

    void *engine_ = nullptr, *stream_ = nullptr, *a_ = nullptr, *b_ = nullptr, *c_ = nullptr;
    void *description_ = nullptr, *matmul_ = nullptr, *reorder_description_ = nullptr, *reorder_ = nullptr;
    const void *b_packed_ = nullptr;
    Execute execute_ = nullptr;
    Wait wait_ = nullptr;
    std::vector<Set> sets_;
};

}  // namespace onednn

namespace peer {

class Onednn : public Library {
public:
    explicit Onednn(void *library) : library_(library) {}

    bool c_is_bf16() const override { return true; }

    std::string version() override {
        struct Version {
            int major, minor, patch;
        };
        void *get = dlsym(library_, "dnnl_version");
        if (!get) return "unknown";
        const Version v = *reinterpret_cast<const Version *(*)()>(get)();
        return std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
    }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        matmul_.reset();
        matmul_ = std::make_unique<onednn::Matmul>(library_, shape.bf16, shape.m, shape.n, shape.k, shape.transpose_b);
        for (Slot &slot : slots) matmul_->add(slot.a.data(), slot.b.data(), slot.c.data());
        return matmul_->problem();
    }

    void run(size_t slot) override { matmul_->run(slot); }

private:
    void *library_;
    std::unique_ptr<onednn::Matmul> matmul_;
};

}  // namespace peer
