// Ours, called from C.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "nf4j.h"
#include "peer.h"

namespace peer {

inline void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s\n", nf4j_last_error());
    std::exit(1);
}

class Nf4j : public Library {
public:
    explicit Nf4j(int threads) {
        const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, threads, NF4J_ISA_AUTO, 0};
        must(nf4j_device_open(&options, &device_));
        must(nf4j_stream_create(device_, nullptr, &stream_));
    }

    ~Nf4j() override {
        release();
        must(nf4j_stream_destroy(stream_));
        must(nf4j_device_close(device_));
    }

    bool c_is_bf16() const override { return true; }

    std::string version() override { return nf4j_version(); }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        release();
        shape_ = shape;
        slots_ = &slots;
        // The weight is [out, in]: forward multiplies with its transpose, backward with itself.
        const int64_t out = shape.transpose_b ? shape.n : shape.k, in = shape.transpose_b ? shape.k : shape.n;
        for (Slot &slot : slots) {
            nf4j_nf4_weight weight = {sizeof weight, 1, out, in, 64, nullptr, 0};
            must(nf4j_nf4_weight_bytes(device_, out, in, 64, 1, &weight.bytes));
            must(nf4j_memory_alloc(device_, weight.bytes, &weight.data));
            const nf4j_tensor b = tensor(slot.b, out, in);
            must(nf4j_nf4_quantize(stream_, &b, &weight));
            must(nf4j_nf4_dequantize(stream_, &weight, 0, &b));  // what the check multiplies with
            weights_.push_back(weight);
        }
        return {};
    }

    void run(size_t slot) override {
        Slot &s = (*slots_)[slot];
        const nf4j_tensor a = tensor(s.a, shape_.m, shape_.k), c = tensor(s.c, shape_.m, shape_.n);
        must(shape_.transpose_b ? nf4j_nf4_matmul(stream_, &a, &weights_[slot], nullptr, &c)
                                : nf4j_nf4_matmul_backward(stream_, &a, &weights_[slot], &c));
    }

private:
    nf4j_tensor tensor(Matrix &matrix, int64_t rows, int64_t cols) const {
        return {matrix.data(), rows, cols, cols, shape_.bf16 ? NF4J_BF16 : NF4J_F32, 0};
    }

    void release() {
        for (nf4j_nf4_weight &weight : weights_) must(nf4j_memory_free(device_, weight.data));
        weights_.clear();
    }

    nf4j_device *device_ = nullptr;
    nf4j_stream *stream_ = nullptr;
    Shape shape_ = {};
    std::vector<Slot> *slots_ = nullptr;
    std::vector<nf4j_nf4_weight> weights_;
};

}  // namespace peer
