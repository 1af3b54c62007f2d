// cuBLAS as simt plays it, where NF4J_SIMT_CUBLAS is set: it computes on the host what the real one is defined to, and is
// captured as a launch is.
#include "cuda/cublas.h"

#include "core/dtype.h"
#include "cuda/product.h"
#include "simt/capture.h"
#include "simt/driver.h"

#include <cstdlib>
#include <vector>

namespace nf4j::cuda {

namespace {

// [outer, k] in F32.
std::vector<float> unpacked(const Operand &x, int64_t outer, int64_t k) {
    const auto *elements = static_cast<const nf4j::bf16 *>(x.data);
    std::vector<float> all;
    all.reserve(static_cast<size_t>(outer * k));
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < k; i++) all.push_back(to_f32(elements[x.k_contiguous ? o * x.ld + i : i * x.ld + o]));
    }
    return all;
}

int32_t run(const char *name, const Product &p) {
    const int32_t status = simt::ask_driver(name);
    if (status != NF4J_OK) return status;
    const int64_t k = p.main.k;
    const std::vector<float> left = unpacked(p.main.left, p.m, k), right = unpacked(p.main.right, p.n, k);
    for (int64_t i = 0; i < p.m; i++) {
        for (int64_t j = 0; j < p.n; j++) {
            const float *a = left.data() + i * k, *b = right.data() + j * k;
            float sum = 0;
            for (int64_t l = 0; l < k; l++) sum += a[l] * b[l];
            auto *wide = static_cast<float *>(p.c) + i * p.ldc + j;
            auto *narrow = static_cast<nf4j::bf16 *>(p.c) + i * p.ldc + j;
            const float before = p.beta == 0 ? 0 : p.c_is_bf16 ? to_f32(*narrow) : *wide;
            const float result = p.alpha * sum + p.beta * before;
            if (p.c_is_bf16)
                *narrow = to_bf16(result);
            else
                *wide = result;
        }
    }
    return NF4J_OK;
}

}  // namespace

bool has_cublas(const nf4j_stream *) { return std::getenv("NF4J_SIMT_CUBLAS") != nullptr; }

int32_t cublas_multiply(nf4j_stream *stream, const char *name, const Product &p) {
    if (simt::Capture *capture = simt::Capture::of(stream)) {
        capture->add("cublas", [=] { return run(name, p); });
        return NF4J_OK;
    }
    return run(name, p);
}

}  // namespace nf4j::cuda
