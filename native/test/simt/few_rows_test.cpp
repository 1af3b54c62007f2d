// What the main loop of the few rows' product costs, from counts: no bank conflict, no sector beyond the bytes that must
// move, and for each round of k the accesses to shared memory that cuda/nf4_few_rows.cuh budgets.
#include "cuda/nf4_few_rows.cuh"
#include "cuda/launch.h"

#include "any_weight.h"
#include "simt_support.h"

using namespace nf4j;
using namespace nf4j::cuda;
using nf4j::test::check;

namespace {

constexpr int64_t outputs = 512;  // two blocks

template <class T, bool columns>
simt::Counters count(int64_t rounds, int block_shift) {
    const int64_t k = rounds * few_rows_depth;
    const test::AnyWeight weight(columns ? k : outputs, columns ? outputs : k, block_shift);
    std::vector<bf16> x;
    alignas(32) static float c[64 * outputs];
    const Product p = test::product_of_ones(weight, columns, T::m, x, c);
    const int32_t status = launch(nullptr, "few_rows", outputs / T::n, T::threads, FewRows<T, columns>::shared_bytes,
                                  nf4_few_rows_kernel<T, columns>, p);
    check(status == NF4J_OK, "%s", test::last_report.c_str());
    check(c[0] == static_cast<float>(k), "the sum of %d ones is %g", static_cast<int>(k), static_cast<double>(c[0]));
    return simt::Engine::of_this_thread().counters();
}

template <class T, bool columns>
void test_costs(int block_shift) {
    constexpr int warps = 8, tiles = 4;  // a warp's, in a round
    constexpr int64_t blocks = outputs / T::n, few = 4, many = 8;
    const simt::Counters a = count<T, columns>(few, block_shift), b = count<T, columns>(many, block_shift);
    char what[80];
    std::snprintf(what, sizeof what, "%d tokens, %s, blocks of %d", T::m, columns ? "columns" : "rows",
                  1 << block_shift);
    check(b.bank_conflicts == 0, "%s: %d bank conflicts", what, static_cast<int>(b.bank_conflicts));
    // All that a block reads more than once, tables and scales, does not go through counted accesses.
    check(b.sectors == b.needed_sectors, "%s: %d sectors where %d would do", what, static_cast<int>(b.sectors),
          static_cast<int>(b.needed_sectors));
    check(b.mma == many * blocks * warps * tiles * 4 * (T::m / 8), "%s: %d mma", what, static_cast<int>(b.mma));

    const int lookups = 16 * tiles, tokens = 2 * (T::m / 8), copies = T::m / 2;
    const int64_t of_a_round = warps * (lookups + tokens) + copies;
    check(b.shared_accesses - a.shared_accesses == (many - few) * blocks * of_a_round,
          "%s: %d accesses to shared memory in a round, expected %d", what,
          static_cast<int>((b.shared_accesses - a.shared_accesses) / (many - few) / blocks),
          static_cast<int>(of_a_round));
}

template <class T>
void test_tile() {
    for (int block_shift : {5, 6}) {
        test_costs<T, false>(block_shift);
        test_costs<T, true>(block_shift);
    }
}

}  // namespace

int main() {
    test::connect();
    test::set_schedule("0");
    setenv("NF4J_SIMT_COUNT", "2", 1);
    test_tile<FewRows8>();
    test_tile<FewRows16>();
    test_tile<FewRows32>();
    test_tile<FewRows64>();
    return test::finish("simt few_rows_test");
}
