// Elements of global memory. Vector accesses go through here so that simt checks their alignment, and all through here
// are counted.
#pragma once

#include "cuda/ptx.cuh"

namespace nf4j::cuda {

template <typename V>
__device__ inline V load_global(const void *from, [[maybe_unused]] Place place = Place::here()) {
#if defined(__CUDACC__)
    return *static_cast<const V *>(from);
#else
    return simt::read_global<V>(from, place);
#endif
}

template <typename V>
__device__ inline void store_global(void *to, V value, [[maybe_unused]] Place place = Place::here()) {
#if defined(__CUDACC__)
    *static_cast<V *>(to) = value;
#else
    simt::write_global(to, value, place);
#endif
}

// ---- element types: every kernel computes in F32

__device__ inline float widen(float value) { return value; }

__device__ inline float widen(bf16 value) { return bits_to_float(uint32_t{value.bits} << 16); }

template <typename T>
__device__ inline T narrow(float value);

template <>
__device__ inline float narrow<float>(float value) {
    return value;
}

template <>
__device__ inline bf16 narrow<bf16>(float value) {
    return round_bf16(value);
}

template <>
__device__ inline f16 narrow<f16>(float value) {
    return round_f16(value);
}

// A matrix in global memory.
template <typename T>
struct Matrix {
    T *data;
    int64_t ld;

    __device__ T *at(int64_t i, int64_t j) const { return data + i * ld + j; }
    __device__ float load(int64_t i, int64_t j, Place place = Place::here()) const {
        return widen(load_global<T>(at(i, j), place));
    }
    __device__ void store(int64_t i, int64_t j, float value, Place place = Place::here()) const {
        store_global<T>(at(i, j), narrow<T>(value), place);
    }
};

template <typename T>
Matrix<T> matrix_of(const nf4j_tensor *x) {
    return {static_cast<T *>(x->data), x->ld};
}

// A vector of F32 or BF16 whose type is known at run time, as weights of norms and biases; absent: null.
struct AnyVector {
    const void *data;
    bool is_bf16;

    __device__ float load(int64_t j, Place place = Place::here()) const {
        return is_bf16 ? widen(load_global<bf16>(static_cast<const bf16 *>(data) + j, place))
                       : load_global<float>(static_cast<const float *>(data) + j, place);
    }
};

inline AnyVector vector_of(const nf4j_tensor *x) { return {x ? x->data : nullptr, x && x->dtype == NF4J_BF16}; }

// Calls body(T{}) with the element type of `dtype`, F32 or BF16.
template <class Body>
int32_t with_type(int32_t dtype, const Body &body) {
    return dtype == NF4J_F32 ? body(float{}) : body(bf16{});
}

}  // namespace nf4j::cuda
