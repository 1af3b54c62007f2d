// The instructions of Hopper: barriers in shared memory, tensor copies (TMA), products of warpgroups (wgmma). Each has a
// twin in simt/ptx_hopper.h, which test/simt/hopper_test compares with the tables of the PTX manual ("Parallel Thread
// Execution ISA"). The names of its sections stand beside them.
//
// Only files that are compiled for sm_90a alone may include this one.
#pragma once

#include "cuda/ptx.cuh"
#include "cuda/tensor_map.h"

namespace nf4j::cuda {

// "Matrix Descriptor Format" of wgmma: a tile of rows of 64 elements, k along the row, whose 16-byte chunks are
// exchanged within 128 bytes ("Swizzling Modes"). `tile` is a multiple of 1024 for row 0 and k = 0; eight rows or 16
// elements further it grows by 1024 and 32 bytes.
//   bits 0-13 address / 16    16-29 leading offset, unused here    32-45 from 8 rows to the next / 16    62-63 swizzle of 128
__host__ __device__ constexpr uint64_t wgmma_descriptor(SharedAddress tile) {
    return uint64_t{(tile.value & 0x3ffff) >> 4} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}

// What one that is 16 of k further has more.
constexpr uint64_t wgmma_descriptor_k16 = 16 * 2 >> 4;

}  // namespace nf4j::cuda

#if !defined(__CUDACC__)
#include "simt/ptx_hopper.h"
#else

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#error "these instructions exist on sm_90a alone"
#endif

namespace nf4j::cuda {

// ---- barriers in shared memory ("mbarrier"): 8 bytes, a phase ends with the last arrival and the last byte

__device__ inline void init_mbarrier(SharedAddress barrier, int arrivals, Place = Place::here()) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier.value), "r"(arrivals) : "memory");
}

// After init, before other threads (which need a sync_threads, too) and copies use the barriers.
__device__ inline void publish_mbarriers(Place = Place::here()) {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// One arrival: what this thread did before lies before what those do who wait for the phase.
__device__ inline void arrive(SharedAddress barrier, Place = Place::here()) {
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(barrier.value) : "memory");
}

// One arrival, and `bytes` that copies will bring in this phase.
__device__ inline void arrive_expecting(SharedAddress barrier, int bytes, Place = Place::here()) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier.value), "r"(bytes)
                 : "memory");
}

// Waits for the end of the phase of this parity, the first phase having parity 0. ("mbarrier.test_wait / try_wait": a
// wait for parity 1 returns at once on a new barrier.)
__device__ inline void wait(SharedAddress barrier, uint32_t parity, Place = Place::here()) {
    uint32_t done;
    do {
        asm volatile(
            "{\n.reg .pred done;\n"
            "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%1], %2;\n"
            "selp.u32 %0, 1, 0, done;\n}"
            : "=r"(done)
            : "r"(barrier.value), "r"(parity)
            : "memory");
    } while (!done);
}

// ---- tensor copies

// The box whose first element is (row, col) of the matrix, into rows of 128 bytes with swizzled chunks; its bytes
// arrive at the barrier ("cp.async.bulk.tensor", "Tensor Swizzling Modes"). One thread does it.
__device__ inline void copy_box(SharedAddress to, const TensorMap &map, int row, int col, SharedAddress barrier,
                                Place = Place::here()) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
            "r"(to.value),
        "l"(&map), "r"(col), "r"(row), "r"(barrier.value)
        : "memory");
}

// What this thread wrote into shared memory before becomes visible to wgmma and to copies ("Async proxy"). All lanes
// come to it.
__device__ inline void fence_async_proxy(Place = Place::here()) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- products of a warpgroup: 128 threads whose first is a multiple of 128, all of them in each instruction

// 64x16 elements of A in registers ("Register Fragments of wgmma .m64nNk16"): warp w of the warpgroup has rows 16 w ...
// as the A fragment of mma.m16n8k16.
class WgmmaFragment {
public:
    __device__ void set(int i, uint32_t pair, Place = Place::here()) { r[i] = pair; }

    uint32_t r[4];
};

// 64 x Cols sums: register i is row 16 w + lane / 4 + i / 2 % 2 * 8 and column i / 4 * 8 + lane % 4 * 2 + i % 2.
template <int Cols>
class WgmmaSums {
public:
    static constexpr int cols = Cols;
    static constexpr int registers = Cols / 2;

    __device__ float get(int i, Place = Place::here()) const { return d[i]; }
    __device__ void clear(Place = Place::here()) {
#pragma unroll
        for (int i = 0; i < registers; i++) d[i] = 0;
    }

    float d[registers];
};

#define NF4J_4(i) "+f"(sums.d[i]), "+f"(sums.d[i + 1]), "+f"(sums.d[i + 2]), "+f"(sums.d[i + 3])
#define NF4J_16(i) NF4J_4(i), NF4J_4(i + 4), NF4J_4(i + 8), NF4J_4(i + 12)
#define NF4J_64(i) NF4J_16(i), NF4J_16(i + 16), NF4J_16(i + 32), NF4J_16(i + 48)

// No instruction: keeps the compiler from moving accesses to the sums across this place. Those between products and
// others need it, since nothing else ties registers to fences and waits.
__device__ inline void hold(WgmmaSums<128> &sums) { asm volatile("" : NF4J_64(0)::"memory"); }
__device__ inline void hold(WgmmaSums<256> &sums) { asm volatile("" : NF4J_64(0), NF4J_64(64)::"memory"); }

#define NF4J_FRAGMENT(i) "+r"(a[i].r[0]), "+r"(a[i].r[1]), "+r"(a[i].r[2]), "+r"(a[i].r[3])

// Between an access to registers of sums or of these fragments and a product that uses them ("wgmma.fence").
__device__ inline void wgmma_fence(WgmmaFragment (&a)[4], Place = Place::here()) {
    asm volatile("wgmma.fence.sync.aligned;"
                 : NF4J_FRAGMENT(0), NF4J_FRAGMENT(1), NF4J_FRAGMENT(2), NF4J_FRAGMENT(3)::"memory");
}

#undef NF4J_FRAGMENT

// Ends a group of products.
__device__ inline void wgmma_commit(Place = Place::here()) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until all but the last `Left` groups are done: then their registers and tiles are free.
template <int Left>
__device__ inline void wgmma_wait(Place = Place::here()) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Left) : "memory");
}

// sums [64, cols] += a [64, 16] * tile [cols, 16] transposed: BF16 factors, F32 sums ("wgmma.mma_async"). Asynchronous:
// until wgmma_wait, nobody touches the sums, the fragment and the tile.
__device__ inline void wgmma_bf16(WgmmaSums<128> &sums, const WgmmaFragment &a, uint64_t tile, Place = Place::here()) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, 1, 1, 1, 0;"
        : NF4J_64(0)
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(tile));
}
__device__ inline void wgmma_bf16(WgmmaSums<256> &sums, const WgmmaFragment &a, uint64_t tile, Place = Place::here()) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15,"
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31,"
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47,"
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63,"
        " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79,"
        " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95,"
        " %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111,"
        " %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "{%128, %129, %130, %131}, %132, 1, 1, 1, 0;"
        : NF4J_64(0), NF4J_64(64)
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(tile));
}

#undef NF4J_4
#undef NF4J_16
#undef NF4J_64

// ---- registers of a warpgroup ("setmaxnreg"); all of its warps do it

template <int Registers>
__device__ inline void give_registers_back() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
__device__ inline void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

}  // namespace nf4j::cuda

#endif
