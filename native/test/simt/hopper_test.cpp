// The twins of Hopper's instructions against the tables of the PTX manual, and a pipeline of copies and products with a
// mistake that simt must find.
#include "cuda/global.cuh"
#include "cuda/launch.h"
#include "cuda/ptx_hopper.cuh"

#include "simt_support.h"

#include <string>
#include <vector>

using namespace nf4j;
using namespace nf4j::cuda;
using nf4j::test::check;

namespace {

constexpr int rows = 128, depth = 64;  // of a tile: tokens and k
constexpr int steps = 5, stages = 2, features = 64;
constexpr int tile = rows * depth;

// Factors that are small integers, so that sums are exact.
struct Factors {
    alignas(16) bf16 x[rows][steps * depth];  // tokens
    float w[features][steps * depth];

    Factors() {
        for (auto &row : x)
            for (bf16 &value : row) value = to_bf16(static_cast<float>(test::integer(-5, 5)));
        for (auto &row : w)
            for (float &value : row) value = static_cast<float>(test::integer(-5, 5));
    }
    float sum(int feature, int token) const {
        float total = 0;
        for (int k = 0; k < steps * depth; k++) total += w[feature][k] * to_f32(x[token][k]);
        return total;
    }
};

// "Register Fragments for wgmma.mma_async.m64nNk16": the i-th of a thread's 8 elements of A, the i-th of its 64 of D.
struct Coordinates {
    int row, col;
};

Coordinates a_fragment(int thread, int i) {
    const int lane = thread % 32, warp = thread / 32;
    return {16 * warp + lane / 4 + (i / 2 % 2 ? 8 : 0), lane % 4 * 2 + i % 2 + (i >= 4 ? 8 : 0)};
}

Coordinates d_fragment(int thread, int i) {
    const int lane = thread % 32, warp = thread / 32;
    return {16 * warp + lane / 4 + (i / 2 % 2 ? 8 : 0), i / 4 * 8 + lane % 4 * 2 + i % 2};
}

uint32_t a_pair(const Factors &f, int thread, int k0, int reg) {
    const Coordinates at = a_fragment(thread, 2 * reg);
    return to_bf16(f.w[at.row][k0 + at.col]).bits | uint32_t{to_bf16(f.w[at.row][k0 + at.col + 1]).bits} << 16;
}

// ---- the pipeline: a warpgroup multiplies what a warp copies, or what it writes itself

enum class Mistake {
    none,
    no_publish,
    no_barrier_after_init,
    no_wait,
    wrong_parity,
    no_wait_for_space,
    no_arrive,
    two_arrivals,
    late_product,  // the stage goes back before the product that reads it is done
    too_few_bytes,
    too_many_bytes,
    misaligned_box,
    no_wgmma_fence,
    no_wgmma_wait,
    fragment_changes,
    no_commit,
    descriptor_stride,
    wrong_descriptor_bits,
    copy_left_over,
};

// 4 consumer warps and a producer.
__global__ void pipeline_kernel(Mistake mistake, const Factors *f, const TensorMap x, float *out) {
    SharedArena arena;
    const Shared<bf16> ring = arena.take<bf16>(stages * tile);
    const Shared<uint64_t> mbarriers = arena.take<uint64_t>(2 * stages);
    const auto full = [&](int stage) { return mbarriers.address(stage); };
    const auto empty = [&](int stage) { return mbarriers.address(stages + stage); };
    if (thread_id() == 0) {
        for (int stage = 0; stage < stages; stage++) {
            init_mbarrier(full(stage), 1);
            init_mbarrier(empty(stage), 4);
        }
        if (mistake != Mistake::no_publish) publish_mbarriers();
    }
    if (mistake != Mistake::no_barrier_after_init) sync_threads();

    if (thread_id() >= 128) {
        if (lane_id() > 0) return;
        for (int step = 0; step < steps; step++) {
            const int stage = step % stages;
            const auto parity = static_cast<uint32_t>(step / stages % 2);
            if (mistake != Mistake::no_wait_for_space) wait(empty(stage), parity ^ 1);
            const int bytes = mistake == Mistake::too_few_bytes    ? tile * 2 - 16
                              : mistake == Mistake::too_many_bytes ? tile * 2 + 16
                                                                   : tile * 2;
            arrive_expecting(full(stage), bytes);
            copy_box(ring.address(stage * tile + (mistake == Mistake::misaligned_box ? 64 : 0)), x, 0, step * depth,
                     full(stage));
        }
        if (mistake == Mistake::copy_left_over) copy_box(ring.address(steps % stages * tile), x, 0, 0, full(0));
        return;
    }

    WgmmaSums<rows> sums;
    WgmmaFragment a[4];
    sums.clear();
    for (int step = 0; step < steps; step++) {
        const int stage = step % stages;
        const auto parity = static_cast<uint32_t>(step / stages % 2);
        if (mistake != Mistake::no_wait) wait(full(stage), parity ^ (mistake == Mistake::wrong_parity ? 1u : 0u));
        for (int i = 0; i < 4; i++) {
            for (int r = 0; r < 4; r++) a[i].set(r, a_pair(*f, thread_id(), step * depth + 16 * i, r));
        }
        if (mistake != Mistake::no_wgmma_fence) wgmma_fence(a);
        for (int i = 0; i < 4; i++) {
            uint64_t b = wgmma_descriptor(ring.address(stage * tile + 16 * i));
            if (mistake == Mistake::descriptor_stride) b = (b & ~(uint64_t{0x3fff} << 32)) | uint64_t{32} << 32;
            if (mistake == Mistake::wrong_descriptor_bits) b ^= uint64_t{3} << 62;
            wgmma_bf16(sums, a[i], b);
        }
        if (mistake == Mistake::fragment_changes) a[3].set(0, 0);
        if (mistake != Mistake::no_commit) wgmma_commit();
        if (mistake == Mistake::late_product && lane_id() == 0) arrive(empty(stage));
        if (mistake != Mistake::no_wgmma_wait || step + 1 < steps) wgmma_wait<0>();
        const int arrivals = mistake == Mistake::no_arrive      ? thread_id() != 0
                             : mistake == Mistake::two_arrivals ? 2
                             : mistake == Mistake::late_product ? 0
                                                                : 1;
        for (int n = 0; lane_id() == 0 && n < arrivals; n++) arrive(empty(stage));
    }
    for (int i = 0; i < WgmmaSums<rows>::registers; i++) {
        const Coordinates at = d_fragment(thread_id(), i);
        out[at.row * rows + at.col] = sums.get(i);
    }
}

// The report says one of the texts; none: there is no mistake.
void expect(int32_t status, std::initializer_list<const char *> texts, const char *what) {
    if (texts.size() == 0) {
        check(status == NF4J_OK, "%s: %s", what, test::last_report.c_str());
        return;
    }
    if (!check(status == NF4J_INTERNAL, "%s was not found", what)) return;
    bool said = false;
    for (const char *text : texts) said = said || test::last_report.find(text) != std::string::npos;
    check(said, "%s: another report was expected than %s", what, test::last_report.c_str());
}

constexpr const char *early = "before the copy of line";
constexpr const char *unwritten = "nobody has written";
constexpr const char *unwaited = "no wait for its mbarrier";
constexpr const char *in_flight = "is on its way";

void test_pipeline(const Factors &f) {
    TensorMap map;
    check(make_tensor_map(f.x, rows, steps * depth, steps * depth, rows, &map) == NF4J_OK, "a tensor map");
    std::vector<float> out(features * rows);
    const auto run = [&](Mistake mistake, std::initializer_list<const char *> texts, const char *what) {
        constexpr int64_t shared_bytes = stages * tile * 2 + 128;
        expect(launch(nullptr, "pipeline", 1, 160, shared_bytes, pipeline_kernel, mistake, &f, map, out.data()), texts,
               what);
    };
    run(Mistake::none, {}, "a right pipeline");
    int wrong = 0;
    for (int i = 0; i < features; i++) {
        for (int j = 0; j < rows; j++) wrong += out[static_cast<size_t>(i * rows + j)] != f.sum(i, j);
    }
    check(wrong == 0, "the pipeline's product has %d wrong elements", wrong);
    run(Mistake::no_publish, {"not published"}, "mbarriers that copies cannot see");
    run(Mistake::no_barrier_after_init, {"there is no mbarrier", "mbarrier: race"}, "mbarriers used before init");
    run(Mistake::no_wait, {early, unwritten, unwaited}, "a tile that nobody waits for");
    run(Mistake::wrong_parity, {early, unwritten, unwaited, "missing or divergent"}, "the other parity");
    run(Mistake::no_wait_for_space, {"race", in_flight, early, "an arrival more"},
        "a stage that is filled while it is read");
    run(Mistake::no_arrive, {"phase 0 lacks 1 of 4 arrivals and 0 bytes"}, "an arrival that is missing");
    run(Mistake::two_arrivals, {"race", in_flight, early, unwaited, "missing or divergent"}, "an arrival too much");
    run(Mistake::late_product, {"race", early, unwaited}, "a stage that goes back too early");
    run(Mistake::too_few_bytes, {"lacks 0 of 1 arrivals and -16 bytes"}, "too few bytes");
    run(Mistake::too_many_bytes, {"lacks 0 of 1 arrivals and 16 bytes"}, "too many bytes");
    run(Mistake::misaligned_box, {"misaligned: a box"}, "a misaligned box");
    run(Mistake::no_wgmma_fence, {"touched since the last wgmma_fence"}, "a missing fence");
    run(Mistake::no_wgmma_wait, {"the sums: a product that uses them has not been waited for"},
        "sums that are read early");
    run(Mistake::fragment_changes, {"a fragment: a product that uses them"}, "a fragment that changes");
    run(Mistake::no_commit, {"has not been waited for"}, "products in no group");
    run(Mistake::wrong_descriptor_bits, {"a descriptor of another layout"}, "another swizzle");
    run(Mistake::descriptor_stride, {"a descriptor of another layout"}, "another stride");
    run(Mistake::copy_left_over, {"the block ended", "missing or divergent", "race", in_flight},
        "a copy that nobody waits for");
}

// ---- tiles that threads write

enum class Written { right, no_proxy_fence, fence_before_writing, no_barrier };

// Chunk c of 16 bytes of row r at 1024 (r / 8) + 128 (r % 8) + 16 (c ^ r % 8): "Canonical layouts", K-major, 128B.
__global__ void written_kernel(Written mistake, const Factors *f, float *out) {
    SharedArena arena;
    const Shared<bf16> b = arena.take<bf16>(tile);
    if (mistake == Written::fence_before_writing) fence_async_proxy();
    const int r = thread_id();
    for (int k = 0; k < depth; k++) b.store(512 * (r / 8) + 64 * (r % 8) + 8 * (k / 8 ^ r % 8) + k % 8, f->x[r][k]);
    if (mistake == Written::right || mistake == Written::no_barrier) fence_async_proxy();
    if (mistake != Written::no_barrier) sync_threads();
    WgmmaSums<rows> sums;
    WgmmaFragment a[4];
    sums.clear();
    for (int i = 0; i < 4; i++) {
        for (int reg = 0; reg < 4; reg++) a[i].set(reg, a_pair(*f, thread_id(), 16 * i, reg));
    }
    wgmma_fence(a);
    for (int i = 0; i < 4; i++) wgmma_bf16(sums, a[i], wgmma_descriptor(b.address(16 * i)));
    wgmma_commit();
    wgmma_wait<0>();
    for (int i = 0; i < WgmmaSums<rows>::registers; i++) {
        const Coordinates at = d_fragment(thread_id(), i);
        out[at.row * rows + at.col] = sums.get(i);
    }
}

void test_written_tiles(const Factors &f) {
    std::vector<float> out(features * rows);
    const auto run = [&](Written mistake, std::initializer_list<const char *> texts, const char *what) {
        expect(launch(nullptr, "written", 1, 128, tile * 2, written_kernel, mistake, &f, out.data()), texts, what);
    };
    run(Written::right, {}, "a tile that threads write");
    int wrong = 0;
    for (int i = 0; i < features; i++) {
        for (int j = 0; j < rows; j++) {
            float sum = 0;
            for (int k = 0; k < depth; k++) sum += f.w[i][k] * to_f32(f.x[j][k]);
            wrong += out[static_cast<size_t>(i * rows + j)] != sum;
        }
    }
    check(wrong == 0, "wgmma: %d wrong elements", wrong);
    run(Written::no_proxy_fence, {"without a fence_async_proxy"}, "a missing proxy fence");
    run(Written::fence_before_writing, {"without a fence_async_proxy"}, "a proxy fence before the writes");
    run(Written::no_barrier, {"race", unwritten}, "a tile of other warps without a barrier");
}

// ---- copies of boxes

// A box at the end of a matrix of 5 x 72 elements in rows of 80, seen through the swizzle.
__global__ void box_kernel(const TensorMap map, int row, int col, uint16_t *out) {
    SharedArena arena;
    const Shared<uint16_t> box = arena.take<uint16_t>(16 * depth);
    const Shared<uint64_t> barrier = arena.take<uint64_t>(1);
    if (thread_id() == 0) {
        init_mbarrier(barrier.address(0), 1);
        publish_mbarriers();
        arrive_expecting(barrier.address(0), 16 * depth * 2);
        copy_box(box.address(0), map, row, col, barrier.address(0));
    }
    sync_warp();
    wait(barrier.address(0), 0);
    for (int i = lane_id(); i < 16 * depth; i += warp_size) out[i] = box.load(i);
}

void test_boxes() {
    alignas(16) static uint16_t matrix[5 * 80];
    for (size_t i = 0; i < 5 * 80; i++) matrix[i] = static_cast<uint16_t>(i % 80 < 72 ? 1000 + i : 7);
    TensorMap map;
    check(make_tensor_map(matrix, 5, 72, 80, 16, &map) == NF4J_OK, "a tensor map");
    std::vector<uint16_t> out(16 * depth);
    for (int row : {0, 3}) {
        for (int col : {0, 64}) {
            expect(launch(nullptr, "box", 1, 32, 16 * depth * 2 + 128, box_kernel, map, row, col, out.data()), {},
                   "a box");
            int wrong = 0;
            for (int r = 0; r < 16; r++) {
                for (int c = 0; c < depth; c++) {
                    const bool inside = row + r < 5 && col + c < 72;
                    const int there = inside ? 1000 + (row + r) * 80 + col + c : 0;
                    wrong += out[static_cast<size_t>(r * depth + (c / 8 ^ r % 8) * 8 + c % 8)] != there;
                }
            }
            check(wrong == 0, "the box at (%d, %d) has %d wrong elements", row, col, wrong);
        }
    }
    check(make_tensor_map(matrix + 1, 4, 72, 80, 16, &map) != NF4J_OK, "a misaligned matrix has a tensor map");
    check(make_tensor_map(matrix, 5, 72, 77, 16, &map) != NF4J_OK, "misaligned rows have a tensor map");
    check(make_tensor_map(matrix, 5, 72, 80, 257, &map) != NF4J_OK, "a box of 257 rows has a tensor map");
}

// ---- phases

// Waits for both parities in turn; between them lie an arrival and a copy's bytes.
__global__ void phase_kernel(const TensorMap map, int *order) {
    SharedArena arena;
    const Shared<uint16_t> box = arena.take<uint16_t>(16 * depth);
    const Shared<uint64_t> barrier = arena.take<uint64_t>(1);
    if (thread_id() == 0) {
        init_mbarrier(barrier.address(0), 2);
        publish_mbarriers();
    }
    sync_threads();
    if (thread_id() == 0) {
        wait(barrier.address(0), 1);  // at once
        arrive(barrier.address(0));
        wait(barrier.address(0), 0);
        order[1] = order[2] + 1;
        arrive(barrier.address(0));
    } else if (thread_id() == 32) {
        order[2] = 10;
        arrive_expecting(barrier.address(0), 16 * depth * 2);
        copy_box(box.address(0), map, 0, 0, barrier.address(0));
        wait(barrier.address(0), 0);
        arrive(barrier.address(0));
        wait(barrier.address(0), 1);
        order[3] = order[1] + 100;
    }
}

void test_phases() {
    alignas(16) static uint16_t matrix[16 * 64];
    TensorMap map;
    check(make_tensor_map(matrix, 16, 64, 64, 16, &map) == NF4J_OK, "a tensor map");
    std::vector<int> order(4);
    expect(launch(nullptr, "phase", 1, 64, 16 * depth * 2 + 128, phase_kernel, map, order.data()), {}, "two phases");
    check(order[3] == 111, "the phases came in another order: %d %d %d", order[1], order[2], order[3]);
}

// ---- movmatrix

__global__ void transpose_kernel(uint32_t *pairs) { pairs[lane_id()] = transpose_matrix(pairs[lane_id()]); }

// "movmatrix": lane l has elements (l / 4, 2 (l % 4)) and + 1, before and after.
void test_transpose() {
    std::vector<uint32_t> pairs(32);
    for (uint32_t l = 0; l < 32; l++) pairs[l] = (l * 2) | (l * 2 + 1) << 16;  // element (i, j) is 8 i + j
    expect(launch(nullptr, "transpose", 1, 32, 0, transpose_kernel, pairs.data()), {}, "movmatrix");
    for (uint32_t l = 0; l < 32; l++) {
        const uint32_t i = l / 4, j = l % 4 * 2;
        check(pairs[l] == ((8 * j + i) | (8 * (j + 1) + i) << 16), "movmatrix: lane %u", l);
    }
}

}  // namespace

int main() {
    test::connect();
    static const Factors factors;
    for (const char *schedule : test::schedules) {
        test::set_schedule(schedule);
        test_pipeline(factors);
        test_written_tiles(factors);
        test_boxes();
        test_phases();
        test_transpose();
    }
    return test::finish("simt hopper_test");
}
