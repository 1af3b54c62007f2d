// simt itself: the twins of the instructions against the tables of the PTX manual, and small kernels with a mistake
// that each detector must find.
#include "cuda/global.cuh"
#include "cuda/launch.h"

#include "simt_support.h"

#include <string>
#include <vector>

using namespace nf4j;
using namespace nf4j::cuda;
using nf4j::test::check;

namespace {

void run(int32_t status, const char *what) { check(status == NF4J_OK, "%s: %s", what, test::last_report.c_str()); }

// ---- fragments, as sections "Matrix Fragments for mma.m16n8k16", "ldmatrix" of the PTX manual write them

struct Coordinates {
    int row, col;
};

Coordinates a_fragment(int lane, int i) {  // i-th of 8 elements
    const int group = lane >> 2, in_group = lane % 4;
    return {group + ((i >= 2 && i < 4) || i >= 6 ? 8 : 0), in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}

Coordinates b_fragment(int lane, int i) {  // i-th of 4
    return {lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2};
}

Coordinates c_fragment(int lane, int i) {  // i-th of 4
    return {(lane >> 2) + (i >= 2 ? 8 : 0), lane % 4 * 2 + (i & 1)};
}

uint32_t pair_of(float low, float high) { return to_bf16(low).bits | uint32_t{to_bf16(high).bits} << 16; }

// One warp: each lane's registers come from and go to memory.
__global__ void mma_kernel(const uint32_t *a, const uint32_t *b, float *d) {
    uint32_t fa[4], fb[2];
    float fd[4];
    for (int i = 0; i < 4; i++) fa[i] = a[lane_id() * 4 + i];
    for (int i = 0; i < 2; i++) fb[i] = b[lane_id() * 2 + i];
    for (int i = 0; i < 4; i++) fd[i] = d[lane_id() * 4 + i];
    mma_bf16(fd, fa, fb);
    for (int i = 0; i < 4; i++) d[lane_id() * 4 + i] = fd[i];
}

void test_mma() {
    float a[16][16], b[16][8], c[16][8];
    for (auto &row : a)
        for (float &x : row) x = static_cast<float>(test::integer(-9, 9));
    for (auto &row : b)
        for (float &x : row) x = static_cast<float>(test::integer(-9, 9));
    for (auto &row : c)
        for (float &x : row) x = static_cast<float>(test::integer(-99, 99));
    std::vector<uint32_t> fa(128), fb(64);
    std::vector<float> fd(128);
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 8; i += 2) {
            const Coordinates at = a_fragment(lane, i);
            fa[static_cast<size_t>(lane * 4 + i / 2)] = pair_of(a[at.row][at.col], a[at.row][at.col + 1]);
        }
        for (int i = 0; i < 4; i += 2) {
            const Coordinates at = b_fragment(lane, i);
            fb[static_cast<size_t>(lane * 2 + i / 2)] = pair_of(b[at.row][at.col], b[at.row + 1][at.col]);
        }
        for (int i = 0; i < 4; i++) {
            const Coordinates at = c_fragment(lane, i);
            fd[static_cast<size_t>(lane * 4 + i)] = c[at.row][at.col];
        }
    }
    run(launch(nullptr, "mma", 1, 32, 0, mma_kernel, fa.data(), fb.data(), fd.data()), "mma_kernel");
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++) {
            const Coordinates at = c_fragment(lane, i);
            float sum = c[at.row][at.col];
            for (int k = 0; k < 16; k++) sum += a[at.row][k] * b[k][at.col];
            check(fd[static_cast<size_t>(lane * 4 + i)] == sum, "mma: lane %d element %d", lane, i);
        }
    }
}

__global__ void ldmatrix_kernel(uint32_t *straight, uint32_t *transposed) {
    SharedArena arena;
    const Shared<uint16_t> matrices = arena.take<uint16_t>(4 * 64);
    for (int i = 0; i < 8; i++) matrices.store(lane_id() * 8 + i, static_cast<uint16_t>(lane_id() * 8 + i));
    sync_warp();
    uint32_t r[4];
    load_matrices(r, matrices.address(lane_id() * 8));
    for (int i = 0; i < 4; i++) straight[lane_id() * 4 + i] = r[i];
    load_matrices_transposed(r, matrices.address(lane_id() * 8));
    for (int i = 0; i < 4; i++) transposed[lane_id() * 4 + i] = r[i];
}

void test_ldmatrix() {
    std::vector<uint32_t> straight(128), transposed(128);
    run(launch(nullptr, "ldmatrix", 1, 32, 512, ldmatrix_kernel, straight.data(), transposed.data()),
        "ldmatrix_kernel");
    for (uint32_t lane = 0; lane < 32; lane++) {
        for (uint32_t m = 0; m < 4; m++) {
            const uint32_t row = lane / 4, col = lane % 4 * 2, base = 64 * m;
            check(straight[lane * 4 + m] == ((base + row * 8 + col) | (base + row * 8 + col + 1) << 16),
                  "ldmatrix: lane %u, matrix %u", lane, m);
            check(transposed[lane * 4 + m] == ((base + col * 8 + row) | (base + (col + 1) * 8 + row) << 16),
                  "ldmatrix.trans: lane %u, matrix %u", lane, m);
        }
    }
}

__global__ void movmatrix_kernel(uint32_t *results) {
    const auto first = static_cast<uint32_t>(lane_id() * 2);
    results[lane_id()] = transpose_matrix(first | (first + 1) << 16);
}

// "movmatrix" of the PTX manual: lane l holds and gets elements 2 (l % 4) and + 1 of row l / 4.
void test_movmatrix() {
    std::vector<uint32_t> results(32);
    run(launch(nullptr, "movmatrix", 1, 32, 0, movmatrix_kernel, results.data()), "movmatrix_kernel");
    for (uint32_t lane = 0; lane < 32; lane++) {
        const uint32_t row = lane / 4, col = lane % 4 * 2;
        check(results[lane] == ((col * 8 + row) | ((col + 1) * 8 + row) << 16), "movmatrix: lane %u", lane);
    }
}

__global__ void warp_kernel(uint32_t *results) {
    uint32_t *mine = results + lane_id() * 3;
    mine[0] = shuffle(static_cast<uint32_t>(lane_id()) * 10, 7);
    mine[1] = shuffle_xor(static_cast<uint32_t>(lane_id()), 5);
    mine[2] = ballot(lane_id() % 3 == 0);
}

void test_warp_functions() {
    std::vector<uint32_t> results(96);
    run(launch(nullptr, "warp", 1, 32, 0, warp_kernel, results.data()), "warp_kernel");
    for (uint32_t lane = 0; lane < 32; lane++) {
        check(results[lane * 3] == 70, "shuffle: lane %u", lane);
        check(results[lane * 3 + 1] == (lane ^ 5), "shuffle_xor: lane %u", lane);
        check(results[lane * 3 + 2] == 0x49249249u, "ballot: lane %u", lane);
    }
}

// ---- counters

__global__ void stride_kernel(int stride, const float *from) {
    SharedArena arena;
    const Shared<float> values = arena.take<float>(32 * 32);
    values.store(thread_id() * stride, load_global<float>(from + thread_id() * stride));
}

// A stride of s words meets gcd(s, 32) lanes in a bank, and touches 32 s / 8 sectors of 32 bytes, at most one for each
// lane.
void test_counters() {
    alignas(128) static const float from[32 * 32] = {};
    setenv("NF4J_SIMT_COUNT", "2", 1);
    for (int stride : {1, 2, 3, 8, 32}) {
        run(launch(nullptr, "stride", 1, 32, 4096, stride_kernel, stride, static_cast<const float *>(from)),
            "stride_kernel");
        const simt::Counters &counters = simt::Engine::of_this_thread().counters();
        const int lanes_in_a_bank = stride == 3 ? 1 : stride, sectors = stride < 8 ? 4 * stride : 32;
        check(counters.shared_accesses == 1 && counters.bank_conflicts == lanes_in_a_bank - 1,
              "stride %d: %d bank conflicts", stride, static_cast<int>(counters.bank_conflicts));
        check(counters.global_accesses == 1 && counters.sectors == sectors && counters.needed_sectors == 4,
              "stride %d: %d sectors", stride, static_cast<int>(counters.sectors));
    }
    unsetenv("NF4J_SIMT_COUNT");
}

// ---- mistakes

// Two warps exchange values through shared memory, in two rounds.
enum class Exchange {
    right,
    no_barrier,
    no_second_barrier,
    one_warp_skips,
    half_warp_skips,
    different_places,
    too_far,
    misaligned,
    unwritten
};

__global__ void exchange_kernel(Exchange mistake, float *out) {
    SharedArena arena;
    const Shared<float> values = arena.take<float>(64);
    const int me = thread_id(), other = 63 - me;
    if (mistake != Exchange::unwritten || me != 40) values.store(me, static_cast<float>(me));
    if (mistake == Exchange::too_far && me == 63) values.store(me + 1, 0);
    if (mistake == Exchange::misaligned) values.load<2>(1);
    if (mistake == Exchange::different_places && warp_id() == 1) {
        sync_threads();
    } else if (mistake == Exchange::half_warp_skips  ? me < 48
               : mistake == Exchange::one_warp_skips ? warp_id() == 0
                                                     : mistake != Exchange::no_barrier) {
        sync_threads();
    }
    const float first = values.load(other);
    if (mistake != Exchange::no_second_barrier) sync_threads();
    values.store(me, first + 100);
    sync_threads();
    out[me] = values.load(other);
}

// A copy into shared memory that another warp reads.
enum class Copy { right, no_wait, no_commit, no_barrier, misaligned };

__global__ void copy_kernel(Copy mistake, const float *from, float *out) {
    SharedArena arena;
    const Shared<float> values = arena.take<float>(256);
    const int me = thread_id() * 4;
    copy_async_16(values.address(me), from + me + (mistake == Copy::misaligned ? 1 : 0), me == 0 ? 8 : 16);
    if (mistake != Copy::no_commit) commit_copies();
    if (mistake != Copy::no_wait) wait_copies<0>();
    if (mistake != Copy::no_barrier) sync_threads();
    for (int i = 0; i < 4; i++) out[me + i] = values.load((me + i + 128) % 256);
}

// Warps 0 and 1 meet at barrier 1, warps 2 and 3 at barrier 2.
__global__ void named_kernel(bool mistake, float *out) {
    SharedArena arena;
    const Shared<float> values = arena.take<float>(128);
    const int pair = warp_id() / 2;
    values.store(thread_id(), 1);
    sync_barrier(1 + pair, 64);
    out[thread_id()] = values.load(mistake ? 127 - thread_id() : thread_id() ^ 32);
}

__global__ void divergent_kernel(float *out) {
    if (lane_id() < 16) {
        out[0] = shuffle_xor(1.0f, 1);
    } else {
        sync_warp();
    }
}

__global__ void misaligned_kernel(float *out) { store_global(out + 1, Vector<float, 4>{{1, 2, 3, 4}}); }

// What a read is that comes too early, before the write that it should wait for.
constexpr const char *unwritten = "nobody has written";

// The report says one of the texts; none: there is no mistake.
void expect(int32_t status, std::initializer_list<const char *> texts, const char *what) {
    if (texts.size() == 0) {
        check(status == NF4J_OK, "%s: %s", what, test::last_report.c_str());
        return;
    }
    if (!check(status == NF4J_INTERNAL, "%s was not found", what)) return;
    bool said = false;
    for (const char *text : texts) said = said || test::last_report.find(text) != std::string::npos;
    check(said && test::last_report.find("block 0") != std::string::npos, "%s: another report was expected than %s",
          what, test::last_report.c_str());
}

void test_mistakes() {
    std::vector<float> from(260), out(256);
    for (size_t i = 0; i < from.size(); i++) from[i] = static_cast<float>(i);

    const auto exchange = [&](Exchange mistake, std::initializer_list<const char *> texts, const char *what) {
        expect(launch(nullptr, "exchange", 1, 64, 256, exchange_kernel, mistake, out.data()), texts, what);
    };
    exchange(Exchange::right, {}, "a right exchange");
    check(out[3] == 103, "the exchange gave %g", static_cast<double>(out[3]));
    exchange(Exchange::no_barrier, {"race", unwritten}, "a missing barrier");
    exchange(Exchange::no_second_barrier, {"race"}, "a missing barrier before the buffer is used again");
    exchange(Exchange::one_warp_skips, {"barrier", unwritten}, "a barrier that one warp skips");
    exchange(Exchange::half_warp_skips, {"barrier", unwritten}, "a barrier that half a warp skips");
    exchange(Exchange::different_places, {"divergent barrier"}, "barriers at different places");
    exchange(Exchange::too_far, {"of shared memory, which has 256"}, "an access behind shared memory");
    exchange(Exchange::misaligned, {"misaligned"}, "a misaligned vector in shared memory");
    exchange(Exchange::unwritten, {unwritten}, "an uninitialised read");

    const auto copy = [&](Copy mistake, std::initializer_list<const char *> texts, const char *what) {
        expect(launch(nullptr, "copy", 1, 64, 1024, copy_kernel, mistake, from.data(), out.data()), texts, what);
    };
    alignas(16) static float aligned[260];
    std::copy(from.begin(), from.end(), aligned);
    const auto copy_aligned = [&](Copy mistake, std::initializer_list<const char *> texts, const char *what) {
        expect(
            launch(nullptr, "copy", 1, 64, 1024, copy_kernel, mistake, static_cast<const float *>(aligned), out.data()),
            texts, what);
    };
    copy_aligned(Copy::right, {}, "a right copy");
    check(out[129] == 1 && out[130] == 0 && out[0] == 128, "the copy gave %g %g %g", static_cast<double>(out[129]),
          static_cast<double>(out[130]), static_cast<double>(out[0]));
    copy_aligned(Copy::no_wait, {"before the copy of line"}, "a copy that nobody waits for");
    copy_aligned(Copy::no_commit, {"before the copy of line"}, "a copy that is in no group");
    copy_aligned(Copy::no_barrier, {"race", unwritten}, "a copy that other warps read without a barrier");
    copy(Copy::misaligned, {"misaligned"}, "a misaligned copy");

    expect(launch(nullptr, "named", 1, 128, 512, named_kernel, false, out.data()), {}, "two barriers of two warps");
    expect(launch(nullptr, "named", 1, 128, 512, named_kernel, true, out.data()), {"race", unwritten},
           "a read across two barriers");
    expect(launch(nullptr, "divergent", 1, 32, 0, divergent_kernel, out.data()), {"divergent warp"},
           "a divergent warp");
    expect(launch(nullptr, "misaligned", 1, 32, 0, misaligned_kernel, static_cast<float *>(aligned)), {"misaligned"},
           "a misaligned vector");
}

}  // namespace

int main() {
    test::connect();
    for (const char *schedule : test::schedules) {
        test::set_schedule(schedule);
        test_mma();
        test_ldmatrix();
        test_movmatrix();
        test_warp_functions();
        test_mistakes();
        test_counters();
    }
    return test::finish("simt engine_test");
}
