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

// 16 bytes that nobody will read again soon: the first to leave the caches.
__device__ inline Vector<uint32_t, 4> load_global_once(const void *from, [[maybe_unused]] Place place = Place::here()) {
#if defined(__CUDACC__)
    const uint4 words = __ldcs(static_cast<const uint4 *>(from));
    return {{words.x, words.y, words.z, words.w}};
#else
    return simt::read_global<Vector<uint32_t, 4>>(from, place);
#endif
}

template <typename V>
__device__ inline void store_global(void *to, V value, [[maybe_unused]] Place place = Place::here()) {
#if defined(__CUDACC__)
    // A plain assignment of a vector is often taken apart into its elements.
    if constexpr (sizeof(V) == 16) {
        uint4 bits;
        __builtin_memcpy(&bits, &value, sizeof bits);
        __stwb(static_cast<uint4 *>(to), bits);
    } else if constexpr (sizeof(V) == 8) {
        uint2 bits;
        __builtin_memcpy(&bits, &value, sizeof bits);
        __stwb(static_cast<uint2 *>(to), bits);
    } else {
        *static_cast<V *>(to) = value;
    }
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

// ---- neighbours in a row

// Up to N columns from `first` on: those that the row has. All N are moved in accesses of 16 bytes where `aligned`, else
// and at the end of a row one by one. Either way a thread has the same columns, so that no sum depends on an address.
template <int N>
struct Columns {
    int64_t first;
    int64_t left;  // to the end of the row
    bool at_once;

    __device__ Columns(int64_t first_, int64_t cols, bool aligned)
        : first(first_), left(cols - first_), at_once(aligned && left >= N) {}
    // As many of the columns that lie `distance` behind.
    __device__ Columns behind(int64_t distance) const {
        Columns columns = *this;
        columns.first += distance;
        return columns;
    }
};

// Calls body(columns) for all columns of a row, shared out among the threads of a block.
template <int Threads, int N, class Body>
__device__ inline void for_row(int64_t cols, bool aligned, const Body &body) {
    for (int64_t j = thread_id() * N; j < cols; j += Threads * N) body(Columns<N>(j, cols, aligned));
}

template <typename T, int N>
constexpr int access_width = N * static_cast<int>(sizeof(T)) > 16 ? 16 / static_cast<int>(sizeof(T)) : N;

// Columns that are not there become 0.
template <typename T, int N>
__device__ inline void load_columns(T (&values)[N], const T *row, const Columns<N> &columns,
                                    Place place = Place::here()) {
    constexpr int width = access_width<T, N>;
    if (columns.at_once) {
#pragma unroll
        for (int i = 0; i < N; i += width) {
            const auto vector = load_global<Vector<T, width>>(row + columns.first + i, place);
#pragma unroll
            for (int e = 0; e < width; e++) values[i + e] = vector.v[e];
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = i < columns.left ? load_global<T>(row + columns.first + i, place) : T{};
    }
}

template <typename T, int N>
__device__ inline void store_columns(T *row, const Columns<N> &columns, const T (&values)[N],
                                     Place place = Place::here()) {
    constexpr int width = access_width<T, N>;
    if (columns.at_once) {
#pragma unroll
        for (int i = 0; i < N; i += width) {
            Vector<T, width> vector;
#pragma unroll
            for (int e = 0; e < width; e++) vector.v[e] = values[i + e];
            store_global(row + columns.first + i, vector, place);
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (i < columns.left) store_global(row + columns.first + i, values[i], place);
        }
    }
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
    template <int N>
    __device__ void load(float (&values)[N], int64_t i, const Columns<N> &columns, Place place = Place::here()) const {
        T elements[N];
        load_columns(elements, at(i, 0), columns, place);
#pragma unroll
        for (int e = 0; e < N; e++) values[e] = widen(elements[e]);
    }
    template <int N>
    __device__ void store(int64_t i, const Columns<N> &columns, const float (&values)[N],
                          Place place = Place::here()) const {
        T elements[N];
#pragma unroll
        for (int e = 0; e < N; e++) elements[e] = narrow<T>(values[e]);
        store_columns(at(i, 0), columns, elements, place);
    }
    bool is_aligned() const {
        return reinterpret_cast<uintptr_t>(data) % 16 == 0 && ld * static_cast<int64_t>(sizeof(T)) % 16 == 0;
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
    template <int N>
    __device__ void load(float (&values)[N], const Columns<N> &columns, Place place = Place::here()) const {
        if (!is_bf16) return load_columns(values, static_cast<const float *>(data), columns, place);
        bf16 elements[N];
        load_columns(elements, static_cast<const bf16 *>(data), columns, place);
#pragma unroll
        for (int e = 0; e < N; e++) values[e] = widen(elements[e]);
    }
    bool is_aligned() const { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }
};

inline AnyVector vector_of(const nf4j_tensor *x) { return {x ? x->data : nullptr, x && x->dtype == NF4J_BF16}; }

// Whether all rows of all of them begin at multiples of 16 bytes: asked by the host, once for a launch.
template <class... M>
bool are_aligned(const M &...x) {
    return (x.is_aligned() && ...);
}

// How many elements 16 bytes hold: of the narrower type.
template <typename T, typename U = T>
constexpr int width_of = 16 / static_cast<int>(sizeof(T) < sizeof(U) ? sizeof(T) : sizeof(U));

// Calls body(T{}) with the element type of `dtype`, F32 or BF16.
template <class Body>
int32_t with_type(int32_t dtype, const Body &body) {
    return dtype == NF4J_F32 ? body(float{}) : body(bf16{});
}

}  // namespace nf4j::cuda
