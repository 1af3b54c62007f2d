// The twins of cuda/ptx.cuh: what its instructions do, for the running CUDA thread.
#pragma once

#include "simt/access.h"

#include <cmath>

namespace nf4j::cuda {

using simt::Place;

// ---- synchronisation

inline void sync_threads(Place place = Place::here()) {
    simt::Engine &engine = simt::Engine::instance();
    engine.barrier(0, engine.grid().threads, place);
}

inline void sync_barrier(int id, int threads, Place place = Place::here()) {
    simt::Engine::instance().barrier(id, threads, place);
}

inline void sync_warp(Place place = Place::here()) {
    simt::Engine::instance().collective("sync_warp", place, nullptr, [](void *const *) {});
}

// ---- warps

template <typename T>
struct Shuffled {
    T value;
    int lane;
    T result;
};

template <typename T>
T shuffle_from(const char *name, T value, int lane, Place place) {
    Shuffled<T> mine = {value, lane, T{}};
    simt::Engine::instance().collective(name, place, &mine, [](void *const *lanes) {
        for (int l = 0; l < simt::warp_size; l++) {
            auto *to = static_cast<Shuffled<T> *>(lanes[l]);
            to->result = static_cast<Shuffled<T> *>(lanes[to->lane % simt::warp_size])->value;
        }
    });
    return mine.result;
}

template <typename T>
T shuffle(T value, int lane, Place place = Place::here()) {
    return shuffle_from("shuffle", value, lane, place);
}

template <typename T>
T shuffle_xor(T value, int mask, Place place = Place::here()) {
    return shuffle_from("shuffle_xor", value, simt::Engine::instance().thread().lane ^ mask, place);
}

uint32_t ballot(bool predicate, Place place = Place::here());

// ---- bytes

inline uint32_t second_byte(uint32_t first, uint32_t word, int i) { return first | (word >> (8 * i) & 255u) << 8; }

// ---- asynchronous copies: the destination is poisoned until the copy lands, as late as the waits allow

void copy_async_16(SharedAddress to, const void *from, int source, Place place = Place::here());
void commit_copies(Place place = Place::here());
void wait_copies_left(int left);

template <int Left>
void wait_copies(Place = Place::here()) {
    wait_copies_left(Left);
}

// ---- matrices

void load_matrices(uint32_t (&r)[4], SharedAddress row, Place place = Place::here());
void load_matrices_transposed(uint32_t (&r)[4], SharedAddress row, Place place = Place::here());
uint32_t transpose_matrix(uint32_t r, Place place = Place::here());
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place place = Place::here());

// ---- arithmetic

inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }

inline uint32_t multiply_high(uint32_t a, uint32_t b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }

inline int first_bit(uint32_t bits) { return __builtin_ctz(bits); }

inline uint32_t pack_bf16(float low, float high) { return to_bf16(low).bits | uint32_t{to_bf16(high).bits} << 16; }

inline bf16 round_bf16(float value) { return to_bf16(value); }

inline f16 round_f16(float value) { return to_f16(value); }

inline float widen(f16 value) { return to_f32(value); }

inline float bits_to_float(uint32_t bits) { return float_of(bits); }

inline uint32_t float_to_bits(float value) { return bits_of(value); }

}  // namespace nf4j::cuda
