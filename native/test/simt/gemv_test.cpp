// What the main loop of the product of up to 8 tokens costs, from counts: the accesses to shared memory that
// cuda/nf4_gemv.cuh budgets for a tile, no bank conflict but in the look-up of 8-bit scales, and no sector of codes beyond
// the bytes that must move.
#include "cuda/nf4_gemv.cuh"
#include "cuda/launch.h"

#include "any_weight.h"
#include "simt_support.h"

using namespace nf4j;
using namespace nf4j::cuda;
using nf4j::test::check;

namespace {

constexpr int64_t outputs = 256;
constexpr int team_shift = 2;  // teams of 4 warps, which each have 4 tiles in a step

// By two blocks in two rounds.
template <int halves>
simt::Counters count(int64_t tokens, int64_t steps) {
    const int64_t k = (steps * gemv_depth) << team_shift;
    const test::AnyWeight weight(outputs, k, halves == 2 ? 5 : 6);
    std::vector<bf16> x;
    alignas(32) static float c[8 * outputs];
    const Product p = test::product_of_ones(weight, false, tokens, x, c);
    const int32_t status = launch(nullptr, "gemv", 2, Gemv<halves>::threads, Gemv<halves>::shared_bytes(tokens, k),
                                  nf4_gemv_kernel<halves>, p, team_shift);
    check(status == NF4J_OK, "%s", test::last_report.c_str());
    check(c[0] == static_cast<float>(k), "the sum of %d ones is %g", static_cast<int>(k), static_cast<double>(c[0]));
    return simt::Engine::of_this_thread().counters();
}

template <int halves>
void test_costs(int64_t tokens) {
    const simt::Counters a = count<halves>(tokens, 1), b = count<halves>(tokens, 3);
    char what[80];
    std::snprintf(what, sizeof what, "%d tokens, blocks of %d", static_cast<int>(tokens), 64 / halves);
    check(b.sectors == b.needed_sectors, "%s: %d sectors where %d would do", what, static_cast<int>(b.sectors),
          static_cast<int>(b.needed_sectors));
    const int64_t k = 2048, tiles = k / 64 * outputs / 16;  // that b has more of
    check(b.mma - a.mma == tiles * 4, "%s: %d mma", what, static_cast<int>(b.mma - a.mma));
    // Pairs of weights, tokens, scales of a pair of rows; the scales that a step leaves for the next; and x, in words, by eight for
    // each thread. The stores of both meet in a bank by twos.
    const int64_t of_a_tile = 16 + 2 + halves, of_a_step = 16 * 2 * halves, of_x = 2 * 4 * (k / 8 * tokens / 32);
    const int64_t stores = tiles / 64 * of_a_step + of_x;
    check(b.bank_conflicts - a.bank_conflicts == stores, "%s: %d bank conflicts", what,
          static_cast<int>(b.bank_conflicts - a.bank_conflicts));
    // simt takes the n-th accesses of all lanes for one: those of tokens that are not there would be missing.
    if (tokens < 8) return;
    check(b.shared_accesses - a.shared_accesses == tiles * of_a_tile + stores, "%s: %d accesses to shared memory", what,
          static_cast<int>(b.shared_accesses - a.shared_accesses));
}

}  // namespace

int main() {
    test::connect();
    test::set_schedule("0");
    setenv("NF4J_SIMT_COUNT", "2", 1);
    for (int64_t tokens : {1, 3, 8}) {
        test_costs<1>(tokens);
        test_costs<2>(tokens);
    }
    return test::finish("simt gemv_test");
}
