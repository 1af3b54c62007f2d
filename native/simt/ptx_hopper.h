// The twins of cuda/ptx_hopper.cuh.
#pragma once

#include "simt/ptx.h"

namespace nf4j::cuda {

// ---- barriers in shared memory

inline void init_mbarrier(SharedAddress barrier, int arrivals, Place place = Place::here()) {
    simt::Engine::instance().async().init(barrier.value, arrivals, place);
}

inline void publish_mbarriers(Place = Place::here()) { simt::Engine::instance().async().publish(); }

inline void arrive(SharedAddress barrier, Place place = Place::here()) {
    simt::Engine::instance().async().arrive(barrier.value, 0, place);
}

inline void arrive_expecting(SharedAddress barrier, int bytes, Place place = Place::here()) {
    simt::Engine::instance().async().arrive(barrier.value, bytes, place);
}

inline void wait(SharedAddress barrier, uint32_t parity, Place place = Place::here()) {
    simt::Engine::instance().async().wait(barrier.value, parity, place);
}

// ---- tensor copies

void copy_box(SharedAddress to, const TensorMap &map, int row, int col, SharedAddress barrier,
              Place place = Place::here());
void fence_async_proxy(Place place = Place::here());

// ---- products of a warpgroup: registers know when they were touched and which product uses them

class WgmmaRegisters {
protected:
    // The running thread reads or writes the registers.
    void touch(const char *what, Place place);
    // A product uses them.
    void use(const char *what, Place place);

private:
    uint32_t touched_ = 0;  // in which interval between two fences, counted from 1
    uint64_t group_ = 0;    // the group of the last product
};

class WgmmaFragment : WgmmaRegisters {
public:
    void set(int i, uint32_t pair, Place place = Place::here()) {
        touch("a fragment", place);
        r_[i] = pair;
    }

private:
    template <int Cols>
    friend class WgmmaSums;
    uint32_t r_[4] = {};
};

// The part of a product that is one warp's.
void wgmma_issue(float *sums, int cols, const uint32_t (&a)[4], uint64_t tile, Place place);

template <int Cols>
class WgmmaSums : WgmmaRegisters {
public:
    static constexpr int cols = Cols;
    static constexpr int registers = Cols / 2;

    float get(int i, Place place = Place::here()) const {
        const_cast<WgmmaSums *>(this)->touch("the sums", place);
        return d_[i];
    }
    void clear(Place place = Place::here()) {
        touch("the sums", place);
        for (float &sum : d_) sum = 0;
    }
    void add(WgmmaFragment &a, uint64_t tile, Place place) {
        use("the sums", place);
        a.use("a fragment", place);
        wgmma_issue(d_, Cols, a.r_, tile, place);
    }

private:
    float d_[registers];
};

// The compiler's matter.
template <int Cols>
void hold(WgmmaSums<Cols> &) {}

void wgmma_fence(WgmmaFragment (&a)[4], Place place = Place::here());
void wgmma_commit(Place place = Place::here());
void wgmma_wait_left(int left, Place place);

template <int Left>
void wgmma_wait(Place place = Place::here()) {
    wgmma_wait_left(Left, place);
}

template <int Cols>
void wgmma_bf16(WgmmaSums<Cols> &sums, WgmmaFragment &a, uint64_t tile, Place place = Place::here()) {
    sums.add(a, tile, place);
}

// ---- registers of a warpgroup: a matter of the device

template <int Registers>
void give_registers_back() {}

template <int Registers>
void take_registers() {}

}  // namespace nf4j::cuda
