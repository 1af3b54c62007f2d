// cuBLAS as the rival of gpu_bench: the library that nf4j found, called directly and for every size. (nf4j itself calls it
// for large dense products alone.)
#pragma once

#include "gpu.h"

class Cublas {
public:
    // `probe` is what nf4j_backend_probe says of the cuda backend; its last line names the library.
    Cublas(const std::string &probe, void *stream) {
        const size_t line = probe.rfind("\ncuBLAS ");
        const size_t open = probe.find('(', line), close = probe.find(')', open);
        if (line == std::string::npos || close == std::string::npos) return;
        void *library = dlopen(probe.substr(open + 1, close - open - 1).c_str(), RTLD_NOW);
        if (!library) return;
        const auto create = reinterpret_cast<int (*)(void **)>(dlsym(library, "cublasCreate_v2"));
        const auto set_stream = reinterpret_cast<int (*)(void *, void *)>(dlsym(library, "cublasSetStream_v2"));
        gemm_ = reinterpret_cast<Gemm>(dlsym(library, "cublasGemmEx"));
        set_workspace_ = reinterpret_cast<int (*)(void *, void *, size_t)>(dlsym(library, "cublasSetWorkspace_v2"));
        if (!create || !set_stream || !gemm_ || !set_workspace_ || create(&handle_) != 0) {
            handle_ = nullptr;
            return;
        }
        check(set_stream(handle_, stream));
        name_ = probe.substr(line + 1, open - line - 2);
    }

    bool found() const { return handle_ != nullptr; }
    // "cuBLAS 13.0.2", or empty.
    const std::string &name() const { return name_; }
    void use_workspace(void *workspace, int64_t bytes) {
        if (found()) check(set_workspace_(handle_, workspace, static_cast<size_t>(bytes)));
    }

    // y [m, n] = x [m, k] * w^T with w [n, k], or x * w with w [k, n]; all BF16, row-major and contiguous.
    void multiply(const void *x, const void *w, void *y, int64_t m, int64_t n, int64_t k, bool transpose_w) const {
        constexpr int op_n = 0, op_t = 1, bf16 = 14, compute_32f = 68, gemm_default = -1;
        const float one = 1, zero = 0;
        const int rows = static_cast<int>(m), columns = static_cast<int>(n), depth = static_cast<int>(k);
        // Column-major: y^T = w * x^T.
        check(gemm_(handle_, transpose_w ? op_t : op_n, op_n, columns, rows, depth, &one, w, bf16,
                    transpose_w ? depth : columns, x, bf16, depth, &zero, y, bf16, columns, compute_32f, gemm_default));
    }

private:
    using Gemm = int (*)(void *, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int,
                         const void *, void *, int, int, int, int);

    static void check(int status) {
        if (status != 0) throw Failure("cuBLAS: status " + std::to_string(status));
    }

    void *handle_ = nullptr;
    std::string name_;
    Gemm gemm_ = nullptr;
    int (*set_workspace_)(void *, void *, size_t) = nullptr;
};
