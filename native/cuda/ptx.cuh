// The instructions that C++ has no words for, and the only inline assembly. Each has a twin in simt/ptx.h, which
// simt_test compares with the tables of the PTX manual ("Parallel Thread Execution ISA", sections on mma.m16n8k16,
// ldmatrix, movmatrix).
#pragma once

#include "cuda/shared.cuh"

#if !defined(__CUDACC__)
#include "simt/ptx.h"
#else

namespace nf4j::cuda {

// ---- synchronisation; all take the place for simt's reports

__device__ inline void sync_threads(Place = Place::here()) { __syncthreads(); }

// Barrier `id` (1 ... 15) for the first `threads` threads that come to it, whole warps.
__device__ inline void sync_barrier(int id, int threads, Place = Place::here()) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ inline void sync_warp(Place = Place::here()) { __syncwarp(); }

// ---- warps

template <typename T>
__device__ inline T shuffle(T value, int lane, Place = Place::here()) {
    return __shfl_sync(0xffffffffu, value, lane);
}

template <typename T>
__device__ inline T shuffle_xor(T value, int mask, Place = Place::here()) {
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

__device__ inline uint32_t ballot(bool predicate, Place = Place::here()) {
    return __ballot_sync(0xffffffffu, predicate);
}

// ---- bytes

// `first` (below 256), and byte i of `word` as the second byte.
__device__ inline uint32_t second_byte(uint32_t first, uint32_t word, int i) {
    return __byte_perm(word, first, 0x5504u | static_cast<uint32_t>(i) << 4);
}

// ---- asynchronous copies into shared memory

// 16 bytes, of which the first `source` come from memory (L2 only) and the rest are 0.
__device__ inline void copy_async_16(SharedAddress to, const void *from, int source, Place = Place::here()) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to.value), "l"(__cvta_generic_to_global(from)),
                 "r"(source)
                 : "memory");
}

// Ends a group of copies.
__device__ inline void commit_copies(Place = Place::here()) { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all but the last `Left` groups of this thread have landed.
template <int Left>
__device__ inline void wait_copies(Place = Place::here()) {
    asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

// ---- matrices of 8x8 elements of 16 bits

// Four of them: lane l gives the address of row l % 8 of matrix l / 8, and gets of each matrix the elements 2 (l % 4)
// and + 1 of row l / 4.
__device__ inline void load_matrices(uint32_t (&r)[4], SharedAddress row, Place = Place::here()) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row.value)
                 : "memory");
}

// The same of the transposed matrices.
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], SharedAddress row, Place = Place::here()) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row.value)
                 : "memory");
}

// One in the registers of a warp, elements 2 (l % 4) and + 1 of row l / 4 in lane l: transposed.
__device__ inline uint32_t transpose_matrix(uint32_t r, Place = Place::here()) {
    uint32_t transposed;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(r));
    return transposed;
}

// d [16, 8] += a [16, 16] * b [16, 8]: BF16 factors, F32 sums.
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place = Place::here()) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// ---- arithmetic

// a * b + c, rounded once. Nothing else is contracted (-fmad=false).
__device__ inline float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }

__device__ inline uint32_t multiply_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

// The number of the lowest bit that is set.
__device__ inline int first_bit(uint32_t bits) { return __ffs(static_cast<int>(bits)) - 1; }

// Two values rounded to BF16, low in the low half.
__device__ inline uint32_t pack_bf16(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

__device__ inline bf16 round_bf16(float value) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return {bits};
}

__device__ inline f16 round_f16(float value) {
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return {bits};
}

__device__ inline float widen(f16 value) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
    return wide;
}

__device__ inline float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }

__device__ inline uint32_t float_to_bits(float value) { return __float_as_uint(value); }

}  // namespace nf4j::cuda

#endif
