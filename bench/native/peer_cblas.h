// OpenBLAS and MKL through CBLAS, found at run time: no header of theirs is needed to build.
#pragma once

#include <dlfcn.h>

#include "peer.h"

namespace peer {

// y = x * op(w) by CBLAS, one row of F32 as a product of matrix and vector, under the names that OpenBLAS from PyPI, a plain
// OpenBLAS or MKL give it.
class Cblas : public Library {
public:
    Cblas(void *library, int threads) : library_(library) {
        for (const char *name : {"scipy_cblas_sgemm", "cblas_sgemm"}) {
            if (!sgemm_) sgemm_ = reinterpret_cast<Gemm<float>>(dlsym(library, name));
        }
        for (const char *name : {"scipy_cblas_sgemv", "cblas_sgemv"}) {
            if (!sgemv_) sgemv_ = reinterpret_cast<Gemv>(dlsym(library, name));
        }
        for (const char *name : {"cblas_gemm_bf16bf16f32", "scipy_cblas_sbgemm", "cblas_sbgemm"}) {
            if (!bgemm_) bgemm_ = reinterpret_cast<Gemm<uint16_t>>(dlsym(library, name));
        }
        for (const char *name : {"scipy_openblas_set_num_threads", "openblas_set_num_threads", "MKL_Set_Num_Threads"}) {
            if (void *set = dlsym(library, name)) reinterpret_cast<void (*)(int)>(set)(threads);
        }
    }

    std::string version() override {
        for (const char *name : {"scipy_openblas_get_config", "openblas_get_config"}) {
            if (void *config = dlsym(library_, name)) return reinterpret_cast<const char *(*)()>(config)();
        }
        char text[200] = "unknown";
        if (void *get = dlsym(library_, "MKL_Get_Version_String"))
            reinterpret_cast<void (*)(char *, int)>(get)(text, sizeof text - 1);
        return text;
    }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        shape_ = shape;
        slots_ = &slots;
        if (shape.bf16 ? !bgemm_ : !sgemm_)
            return std::string("this build has no product in ") + (shape.bf16 ? "BF16" : "F32");
        return {};
    }

    void run(size_t slot) override {
        Slot &s = (*slots_)[slot];
        if (shape_.bf16) {
            call(bgemm_, static_cast<const uint16_t *>(s.a.data()), static_cast<const uint16_t *>(s.b.data()), s.c);
        } else if (shape_.m == 1 && sgemv_) {
            // b as it is stored: [n, k], or [k, n] that is to be transposed
            const int rows = static_cast<int>(shape_.transpose_b ? shape_.n : shape_.k);
            const int cols = static_cast<int>(shape_.transpose_b ? shape_.k : shape_.n);
            sgemv_(kRowMajor, shape_.transpose_b ? kPlain : kTransposed, rows, cols, 1,
                   static_cast<const float *>(s.b.data()), cols, static_cast<const float *>(s.a.data()), 1, 0,
                   static_cast<float *>(s.c.data()), 1);
        } else {
            call(sgemm_, static_cast<const float *>(s.a.data()), static_cast<const float *>(s.b.data()), s.c);
        }
    }

private:
    static constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
    using Gemv = void (*)(int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
    template <class T>
    using Gemm = void (*)(int, int, int, int, int, int, float, const T *, int, const T *, int, float, float *, int);

    template <class T>
    void call(Gemm<T> gemm, const T *a, const T *b, Matrix &c) {
        const int m = static_cast<int>(shape_.m), n = static_cast<int>(shape_.n), k = static_cast<int>(shape_.k);
        gemm(kRowMajor, kPlain, shape_.transpose_b ? kTransposed : kPlain, m, n, k, 1, a, k, b,
             shape_.transpose_b ? k : n, 0, static_cast<float *>(c.data()), n);
    }

    void *library_;
    Gemm<float> sgemm_ = nullptr;
    Gemv sgemv_ = nullptr;
    Gemm<uint16_t> bgemm_ = nullptr;
    Shape shape_ = {};
    std::vector<Slot> *slots_ = nullptr;
};

}  // namespace peer
