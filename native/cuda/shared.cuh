// Dynamic shared memory as typed arrays that are carved from one allocation. On simt every access is checked: range,
// alignment, uninitialised bytes, copies that have not landed, races between warps.
#pragma once

#include "cuda/cuda.h"

#if !defined(__CUDACC__)
#include "simt/access.h"
#endif

namespace nf4j::cuda {

// An address in shared memory as instructions take it; on simt, an offset.
struct SharedAddress {
    uint32_t value;
};

template <typename T>
class Shared {
public:
    static_assert(sizeof(T) >= 2, "races are found at a granularity of two bytes");

#if defined(__CUDACC__)
    Shared() = default;
    __device__ explicit Shared(void *memory) : data_(static_cast<T *>(memory)) {}

    __device__ T load(int i, Place = Place::here()) const { return data_[i]; }
    __device__ void store(int i, T value, Place = Place::here()) const { data_[i] = value; }
    // N elements from i on in one access.
    template <int N>
    __device__ Vector<T, N> load(int i, Place = Place::here()) const {
        return *reinterpret_cast<const Vector<T, N> *>(data_ + i);
    }
    template <int N>
    __device__ void store(int i, Vector<T, N> value, Place = Place::here()) const {
        *reinterpret_cast<Vector<T, N> *>(data_ + i) = value;
    }
    // The same from a byte on, for places that are put together from bits.
    template <int N>
    __device__ Vector<T, N> load_at(uint32_t byte, Place = Place::here()) const {
        return *reinterpret_cast<const Vector<T, N> *>(reinterpret_cast<const char *>(data_) + byte);
    }
    // Elements i ... as another type of the same or a larger size.
    template <typename U>
    __device__ Shared<U> as(int i) const {
        return Shared<U>(data_ + i);
    }
    __device__ SharedAddress address(int i) const {
        return {static_cast<uint32_t>(__cvta_generic_to_shared(data_ + i))};
    }

private:
    T *data_ = nullptr;
#else
    Shared() = default;
    explicit Shared(uint32_t offset) : offset_(offset) {}

    T load(int i, Place place = Place::here()) const { return simt::read_shared<T>(at(i), place); }
    void store(int i, T value, Place place = Place::here()) const { simt::write_shared(at(i), value, place); }
    template <int N>
    Vector<T, N> load(int i, Place place = Place::here()) const {
        return simt::read_shared<Vector<T, N> >(at(i), place);
    }
    template <int N>
    void store(int i, Vector<T, N> value, Place place = Place::here()) const {
        simt::write_shared(at(i), value, place);
    }
    template <int N>
    Vector<T, N> load_at(uint32_t byte, Place place = Place::here()) const {
        return simt::read_shared<Vector<T, N> >(offset_ + byte, place);
    }
    template <typename U>
    Shared<U> as(int i) const {
        return Shared<U>(at(i));
    }
    SharedAddress address(int i) const { return {at(i)}; }

private:
    uint32_t at(int i) const { return offset_ + static_cast<uint32_t>(i) * static_cast<uint32_t>(sizeof(T)); }

    uint32_t offset_ = 0;
#endif
};

// Hands out the block's dynamic shared memory, in pieces that begin at multiples of 128 bytes.
class SharedArena {
public:
    __host__ __device__ static constexpr int64_t bytes_of(int64_t bytes) { return ceil_div(bytes, 128) * 128; }

    template <typename T>
    __device__ Shared<T> take(int64_t count) {
        const auto begin = static_cast<uint32_t>(used_);
        used_ += bytes_of(count * static_cast<int64_t>(sizeof(T)));
#if defined(__CUDACC__)
        extern __shared__ __align__(1024) unsigned char memory[];
        return Shared<T>(memory + begin);
#else
        return Shared<T>(begin);
#endif
    }

private:
    int64_t used_ = 0;
};

}  // namespace nf4j::cuda
