#include "cuda/ptx_hopper.cuh"

#include "core/backend.h"

#include <algorithm>

namespace nf4j::cuda {

using simt::Engine;

int32_t make_tensor_map(const void *data, int64_t rows, int64_t cols, int64_t ld, int box_rows, TensorMap *map) {
    const bool aligned = reinterpret_cast<uintptr_t>(data) % 16 == 0 && ld % 8 == 0;
    const bool fits = rows > 0 && cols > 0 && rows <= UINT32_MAX && cols <= UINT32_MAX && ld * 2 < int64_t{1} << 40;
    if (!aligned || !fits || box_rows < 1 || box_rows > 256) {
        return fail(NF4J_INTERNAL, "simt: no tensor map for %p, [%lld, %lld], ld %lld, boxes of %d rows", data,
                    static_cast<long long>(rows), static_cast<long long>(cols), static_cast<long long>(ld), box_rows);
    }
    *map = {static_cast<const char *>(data), rows, cols, ld * 2, box_rows};
    return NF4J_OK;
}

void copy_box(SharedAddress to, const TensorMap &map, int row, int col, SharedAddress barrier, Place place) {
    Engine::instance().async().copy({to.value, map.data, map.rows, map.cols * 2, map.row_bytes, row, int64_t{col} * 2,
                                     map.box_rows, barrier.value, place});
}

void fence_async_proxy(Place place) {
    Engine &engine = Engine::instance();
    engine.collective("fence_async_proxy", place, nullptr,
                      [](void *const *) { Engine::instance().shared().fence_async(Engine::instance().thread().warp); });
}

void WgmmaRegisters::touch(const char *what, Place place) {
    Engine &engine = Engine::instance();
    if (group_ > engine.async().products().completed)
        engine.report(place, "%s: a product that uses them has not been waited for", what);
    touched_ = engine.thread().wgmma_fences + 1;
}

void WgmmaRegisters::use(const char *what, Place place) {
    Engine &engine = Engine::instance();
    if (touched_ > engine.thread().wgmma_fences) engine.report(place, "%s: touched since the last wgmma_fence", what);
    group_ = engine.async().products().committed + 1;
}

namespace {

struct Lane {
    float *sums;
    int cols;
    const uint32_t *a;
    uint64_t tile;
    Place place;
};

void issue(void *const *lanes) {
    simt::WarpProduct product;
    const auto *first = static_cast<const Lane *>(lanes[0]);
    product.cols = first->cols;
    product.tile = first->tile;
    product.place = first->place;
    for (int l = 0; l < warp_size; l++) {
        const auto *lane = static_cast<const Lane *>(lanes[l]);
        if (lane->tile != first->tile) Engine::instance().report(first->place, "lane %d has another descriptor", l);
        product.sums[l] = lane->sums;
        std::copy_n(lane->a, 4, product.a[l]);
    }
    Engine::instance().async().issue(product);
}

}  // namespace

void wgmma_issue(float *sums, int cols, const uint32_t (&a)[4], uint64_t tile, Place place) {
    Lane lane = {sums, cols, a, tile, place};
    Engine::instance().collective("wgmma_bf16", place, &lane, issue);
}

void wgmma_fence(WgmmaFragment (&)[4], Place place) {
    Engine &engine = Engine::instance();
    engine.thread().wgmma_fences++;
    engine.collective("wgmma_fence", place, nullptr, [](void *const *) {});
}

void wgmma_commit(Place place) {
    Engine::instance().collective("wgmma_commit", place, nullptr,
                                  [](void *const *) { Engine::instance().async().commit(); });
}

void wgmma_wait_left(int left, Place place) {
    Engine::instance().collective("wgmma_wait", place, &left, [](void *const *lanes) {
        Engine::instance().async().wait_groups(*static_cast<const int *>(lanes[0]));
    });
}

}  // namespace nf4j::cuda
