// A cuBLAS for the tests of cuda/cublas.cu. It computes on the host what the real one is defined to, column by column, and refuses a
// product for which the real one would allocate or use another precision: without the caller's workspace, stream or math mode.
//
//   FAKE_CUBLAS_FAILING=create    which function fails with status 14: create, workspace or gemm
#include "core/dtype.h"

#include <cstdlib>
#include <vector>

namespace {

constexpr int success = 0, not_initialized = 1, invalid_value = 7, internal_error = 14;
constexpr int op_n = 0, op_t = 1, r_32f = 0, r_16bf = 14, compute_32f = 68, disallow_reduced_precision_reduction = 16;
constexpr size_t enough_workspace = size_t{32} << 20;

struct Handle {
    void *stream = nullptr;
    void *workspace = nullptr;
    size_t bytes = 0;
    int math_mode = 0;
};

int64_t handles = 0, products = 0;
void *last_stream = nullptr;

bool fails(const char *what) {
    const char *failing = std::getenv("FAKE_CUBLAS_FAILING");
    return failing && std::strcmp(failing, what) == 0;
}

// op(x) [rows, cols], column-major.
std::vector<float> unpacked(int op, const void *x, int rows, int cols, int ld) {
    const auto *elements = static_cast<const nf4j::bf16 *>(x);
    std::vector<float> all;
    for (int64_t j = 0; j < cols; j++) {
        for (int64_t i = 0; i < rows; i++) all.push_back(nf4j::to_f32(elements[op == op_n ? j * ld + i : i * ld + j]));
    }
    return all;
}

}  // namespace

extern "C" {

int64_t fake_handles() { return handles; }
int64_t fake_products() { return products; }
void *fake_product_stream() { return last_stream; }

int cublasCreate_v2(void **handle) {
    if (fails("create")) return internal_error;
    *handle = new Handle;
    handles++;
    return success;
}

int cublasDestroy_v2(void *handle) {
    delete static_cast<Handle *>(handle);
    handles--;
    return success;
}

int cublasSetStream_v2(void *handle, void *stream) {
    auto *h = static_cast<Handle *>(handle);
    h->stream = stream;
    h->workspace = nullptr;  // the handle has its own again
    return success;
}

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes) {
    if (fails("workspace")) return internal_error;
    static_cast<Handle *>(handle)->workspace = workspace;
    static_cast<Handle *>(handle)->bytes = bytes;
    return success;
}

int cublasSetMathMode(void *handle, int mode) {
    static_cast<Handle *>(handle)->math_mode = mode;
    return success;
}

int cublasGetProperty(int type, int *value) {
    constexpr int version[] = {13, 1, 2};
    *value = version[type];
    return success;
}

// c [m, n] = alpha * op(a) [m, k] * op(b) [k, n] + beta * c.
int cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha, const void *a, int a_type,
                 int lda, const void *b, int b_type, int ldb, const float *beta, void *c, int c_type, int ldc,
                 int compute_type, int) {
    const auto *h = static_cast<const Handle *>(handle);
    if (fails("gemm")) return internal_error;
    if (!h->stream || !h->workspace || h->bytes < enough_workspace ||
        h->math_mode != disallow_reduced_precision_reduction)
        return not_initialized;
    if (a_type != r_16bf || b_type != r_16bf || (c_type != r_16bf && c_type != r_32f) || compute_type != compute_32f ||
        (op_a != op_n && op_a != op_t) || (op_b != op_n && op_b != op_t) || lda < (op_a == op_n ? m : k) ||
        ldb < (op_b == op_n ? k : n) || ldc < m)
        return invalid_value;
    const std::vector<float> left = unpacked(op_a, a, m, k, lda), right = unpacked(op_b, b, k, n, ldb);
    const auto rows = static_cast<size_t>(m);
    for (int64_t j = 0; j < n; j++) {
        std::vector<float> sums(rows);
        for (int64_t l = 0; l < k; l++) {
            const float factor = right[static_cast<size_t>(j * k + l)];
            const float *column = left.data() + l * m;
            for (size_t i = 0; i < rows; i++) sums[i] += column[i] * factor;
        }
        for (int64_t i = 0; i < m; i++) {
            auto *wide = static_cast<float *>(c) + j * ldc + i;
            auto *narrow = static_cast<nf4j::bf16 *>(c) + j * ldc + i;
            const float before = *beta == 0 ? 0 : c_type == r_16bf ? nf4j::to_f32(*narrow) : *wide;
            const float result = *alpha * sums[static_cast<size_t>(i)] + *beta * before;
            if (c_type == r_16bf)
                *narrow = nf4j::to_bf16(result);
            else
                *wide = result;
        }
    }
    products++;
    last_stream = h->stream;
    return success;
}

}  // extern "C"
