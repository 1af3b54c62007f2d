// Every line of the table of kernels for products (cuda/tiles.h), with k in one part and in several, on rows that are
// 16-byte aligned and on others, which the conformance suite's matrices nearly always are. Against the reference
// backend; and few rows against the same in a batch, bit by bit.
#include "cuda/cuda.h"
#include "cuda/devices.h"
#include "simt_support.h"
#include "weights.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

using namespace nf4j;
using namespace nf4j::test;

namespace {

struct Shape {
    int64_t m, n, k;
};

enum class Kind { dense, dense_transposed, nf4, nf4_backward };
constexpr const char *names[] = {"dense, b as weights are", "dense", "nf4_matmul", "nf4_matmul_backward"};

// How rows stand in memory: each begins at a multiple of 16 bytes, or not.
enum class Rows { aligned, odd };

constexpr int64_t workspace_bytes = 64 << 20;

// What simt's device 0 plays, then device 1.
cuda::Traits played = cuda::find_known_device("A100")->traits;
constexpr cuda::Traits played_by_1 = {"H100", 90, 2};

// The choice that a call should lead to.
cuda::Choice choice_of(Kind kind, const Shape &s, int32_t dtype, Rows rows, int64_t block_size) {
    const bool nf4 = kind == Kind::nf4 || kind == Kind::nf4_backward, bf16 = dtype == NF4J_BF16;
    const int64_t columns = kind == Kind::nf4 ? s.k : s.n;  // of the weight
    const cuda::Weight weight = !nf4              ? cuda::Weight::dense
                                : columns % 64    ? cuda::Weight::nf4
                                : block_size < 64 ? cuda::Weight::nf4_whole_tiles
                                                  : cuda::Weight::nf4_row_scales;
    const bool copied = weight == cuda::Weight::dense || weight == cuda::Weight::nf4_row_scales;
    const cuda::Access access = !bf16 || rows == Rows::odd ? cuda::Access::any
                                : copied                   ? cuda::Access::copied
                                                           : cuda::Access::rows;
    const cuda::ProductShape shape = {s.m, s.n, s.k, bf16, access, weight, kind == Kind::nf4, false, false, 0};
    return cuda::choose(shape, played, workspace_bytes);
}

// The lines of the table that were taken, and those of them that split k.
std::set<const cuda::Variant *> taken, taken_in_parts;

// y [m, n] = x [m, k] times a factor that is stored as the kind says.
class Problem {
public:
    Problem(const Device &here, const Device &there, Kind kind, Shape s, int32_t dtype, Rows rows, int64_t block_size,
            bool nested)
        : kind_(kind),
          shape_(s),
          dtype_(dtype),
          rows_(rows),
          x(matrix(s.m, s.k)),
          b_(kind == Kind::dense ? matrix(s.n, s.k) : matrix(s.k, s.n)) {
        x.random();
        b_.random();
        if (kind == Kind::dense || kind == Kind::dense_transposed) return;
        const bool forward = kind == Kind::nf4;
        Matrix w(forward ? s.n : s.k, forward ? s.k : s.n, NF4J_F32, 0);
        w.random();
        here_ = std::make_unique<Weight>(here, w.rows(), w.cols(), block_size, nested);
        there_ = std::make_unique<Weight>(there, w.rows(), w.cols(), block_size, nested);
        here_->quantize(w);
        there_->quantize(w);
    }

    // Rows first ... first + count - 1.
    Matrix run(const Device &device, bool here, int64_t first, int64_t count) {
        Matrix y = matrix(count, shape_.n);
        const nf4j_tensor tx = x.slice(first, count), tb = b_.tensor(), ty = y.tensor();
        const Weight *weight = here ? here_.get() : there_.get();
        nf4j_matmul_options options = {};
        options.struct_size = sizeof options;
        options.transpose_b = kind_ == Kind::dense;
        options.alpha = 1;
        switch (kind_) {
            case Kind::nf4: must(nf4j_nf4_matmul(device.stream, &tx, &weight->c, nullptr, &ty), names[2]); break;
            case Kind::nf4_backward:
                must(nf4j_nf4_matmul_backward(device.stream, &tx, &weight->c, &ty), names[3]);
                break;
            default: must(nf4j_dense_matmul(device.stream, &options, &tx, &tb, nullptr, &ty), names[0]);
        }
        return y;
    }

private:
    Matrix matrix(int64_t rows, int64_t cols) const {
        return Matrix(rows, cols, dtype_, rows_ == Rows::aligned ? (8 - cols % 8) % 8 + 8 : cols % 2 + 3);
    }

    Kind kind_;
    Shape shape_;
    int32_t dtype_;
    Rows rows_;

public:
    Matrix x;

private:
    Matrix b_;
    std::unique_ptr<Weight> here_, there_;
};

// nf4j_explain of what is aligned, in blocks of 64 or more, says the same.
void test_explanation(const Device &simt, Kind kind, const Shape &s, int32_t dtype, const cuda::Choice &choice) {
    const int32_t operation = kind == Kind::nf4            ? NF4J_OP_NF4_MATMUL
                              : kind == Kind::nf4_backward ? NF4J_OP_NF4_MATMUL_BACKWARD
                                                           : NF4J_OP_DENSE_MATMUL;
    const bool backward = kind == Kind::nf4_backward;
    char text[512], wanted[160], parts[40] = "";
    must(
        nf4j_explain(simt.stream, operation, s.m, backward ? s.k : s.n, backward ? s.n : s.k, dtype, text, sizeof text),
        "explain");
    const cuda::Variant &v = *choice.variant;
    if (choice.splits > 1)
        std::snprintf(parts, sizeof parts, " with k in %lld parts", static_cast<long long>(choice.splits));
    std::snprintf(wanted, sizeof wanted, "%s%s, tiles of %dx%dx%d, %d stages, %lld blocks", v.name, parts, v.tile_m,
                  v.tile_n, v.depth, v.stages, static_cast<long long>(choice.blocks));
    check(std::strncmp(text, wanted, std::strlen(wanted)) == 0, "explained as %s, not as %s", text, wanted);
    check(std::strstr(text, (std::string(" us on ") + played.name + ": ").c_str()) != nullptr,
          "explained without a floor: %s", text);
}

void test_product(const Device &simt, const Device &reference, Kind kind, Shape s, int32_t dtype, Rows rows,
                  int64_t block_size, bool nested) {
    const cuda::Choice choice = choice_of(kind, s, dtype, rows, block_size);
    taken.insert(choice.variant);
    if (choice.splits > 1) taken_in_parts.insert(choice.variant);
    if (rows == Rows::aligned && block_size >= 64) test_explanation(simt, kind, s, dtype, choice);

    char what[160];
    std::snprintf(what, sizeof what, "%s [%lld, %lld, %lld], %s%s rows, blocks of %lld%s",
                  names[static_cast<int>(kind)], static_cast<long long>(s.m), static_cast<long long>(s.n),
                  static_cast<long long>(s.k), dtype == NF4J_F32 ? "F32, " : "",
                  rows == Rows::aligned ? "aligned" : "odd", static_cast<long long>(block_size),
                  nested ? ", nested" : "");
    Problem problem(simt, reference, kind, s, dtype, rows, block_size, nested);
    const Matrix y = problem.run(simt, true, 0, s.m), expected = problem.run(reference, false, 0, s.m);
    // Factors are of order 1: sums of magnitudes stay below 4 k but for one element in a million.
    check_near(y, expected, s.k, [&](int64_t, int64_t) { return 4.0 * static_cast<double>(s.k); }, what);

    // The fewest rows that get the same kernel, one by default, from the middle.
    const auto same = [&](int64_t count) {
        const cuda::Choice c = choice_of(kind, {count, s.n, s.k}, dtype, rows, block_size);
        return std::strcmp(c.variant->name, choice.variant->name) == 0 && c.splits == choice.splits;
    };
    int64_t count = 1;
    while (!same(count)) count++;
    const int64_t first = (s.m - count) / 2;
    const Matrix alone = problem.run(simt, true, first, count);
    bool equal = true;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < s.n; j++) equal = equal && bits_of(alone.at(i, j)) == bits_of(y.at(first + i, j));
    }
    check(equal, "%s: %lld rows alone have other bits", what, static_cast<long long>(count));
}

// Each line of the table that the device has was taken, and where it can split k also in parts.
void test_coverage() {
    for (const cuda::Variant &v : cuda::variants) {
        if (played.capability < v.least_capability || v.most_capability < played.capability) continue;
        check(taken.count(&v) > 0, "nothing here takes %s, tiles of %dx%d", v.name, v.tile_m, v.tile_n);
        if (v.blocks_per_multiprocessor == 0 && v.step_time == 0) continue;
        check(taken_in_parts.count(&v) > 0, "nothing here takes %s, tiles of %dx%d, with k in parts", v.name, v.tile_m,
              v.tile_n);
    }
}

// Where c has few tiles: another split of k would not be done earlier, unless four of five places are busy anyway.
void test_splits() {
    const cuda::Traits device = cuda::find_known_device("H100")->traits;
    for (const Shape &s :
         {Shape{1, 4096, 4096}, {1, 14336, 4096}, {1, 4096, 14336}, {32, 1024, 4096}, {8, 2560, 1280}}) {
        const cuda::ProductShape shape = {s.m,   s.n,   s.k,   true, cuda::Access::copied, cuda::Weight::nf4_row_scales,
                                          false, false, false, 0};
        const cuda::Choice choice = cuda::choose(shape, device, workspace_bytes);
        const cuda::Variant &v = *choice.variant;
        const int64_t tiles = cuda::ceil_div(s.n, v.tile_n), steps = cuda::ceil_div(s.k, v.depth),
                      places = int64_t{v.blocks_per_multiprocessor} * device.multiprocessors;
        const auto duration = [&](int64_t splits) {
            return cuda::ceil_div(tiles * splits, places) * cuda::ceil_div(steps, splits);
        };
        int64_t shortest = steps;
        for (int64_t splits = 1; splits * 256 <= s.k; splits++) shortest = std::min(shortest, duration(splits));
        const int64_t taken_steps = duration(choice.splits);
        check(choice.splits * 256 <= s.k && (taken_steps == shortest || 4 * taken_steps * places <= 5 * tiles * steps),
              "[%lld, %lld, %lld]: k in %lld parts takes the time of %lld steps, %lld are enough",
              static_cast<long long>(s.m), static_cast<long long>(s.n), static_cast<long long>(s.k),
              static_cast<long long>(choice.splits), static_cast<long long>(taken_steps),
              static_cast<long long>(shortest));
    }
}

// Of gemv, by hand: how many warps share a row of tiles, where 132 multiprocessors have 16 each.
void test_teams() {
    const cuda::Traits device = cuda::find_known_device("H100")->traits;
    const struct {
        Shape s;
        int64_t team, blocks;
    } choices[] = {
        {{1, 14336, 4096}, 16, 132},  // seven rounds of one step, not four of two
        {{1, 4096, 14336}, 8, 128},   // 56 times 256 of k: seven steps, where 16 warps would take two rounds of four
        {{8, 4096, 4096}, 16, 132},   // two rounds of a step, or one of two: the same
        {{1, 1024, 4096}, 16, 64},    // more multiprocessors than rows of tiles
        {{1, 2048, 8192}, 16, 128},  {{1, 128256, 2048}, 8, 132},  // 8 times 256 of k
        {{1, 49152, 576}, 4, 132},                                 // three
        {{2, 8, 64}, 16, 1},
    };
    for (const auto &c : choices) {
        const cuda::ProductShape shape = {c.s.m, c.s.n, c.s.k, true, cuda::Access::copied, cuda::Weight::nf4_row_scales,
                                          true,  false, false, 0};
        const cuda::Choice choice = cuda::choose(shape, device, workspace_bytes);
        check(choice.variant->kernel == cuda::Kernel::gemv && choice.splits == c.team && choice.blocks == c.blocks &&
                  choice.workspace_bytes == 0,
              "[%lld, %lld, %lld]: %s with teams of %lld warps, %lld blocks, %lld bytes", static_cast<long long>(c.s.m),
              static_cast<long long>(c.s.n), static_cast<long long>(c.s.k), choice.variant->name,
              static_cast<long long>(choice.splits), static_cast<long long>(choice.blocks),
              static_cast<long long>(choice.workspace_bytes));
    }
    const cuda::ProductShape large = {8,    4096,  14336, true, cuda::Access::copied, cuda::Weight::nf4_row_scales,
                                      true, false, false, 0};
    check(cuda::choose(large, device, workspace_bytes).variant->kernel == cuda::Kernel::few_rows,
          "8 tokens of 14336 are in shared memory");
}

// Of wgmma, by hand: what fills an H100's 132 multiprocessors, unless adding the sums takes longer.
void test_wgmma_splits() {
    const cuda::Traits device = cuda::find_known_device("H100")->traits;
    const struct {
        Shape s;
        int tile_m;
        int64_t splits, blocks;
    } choices[] = {
        {{128, 4096, 14336}, 128, 4, 128},   // 32 tiles
        {{512, 4096, 14336}, 256, 2, 128},   // 64 tiles
        {{512, 4096, 4096}, 128, 1, 128},    // the same with a third of the steps: half a tile as well
        {{256, 1024, 4096}, 128, 8, 128},    // 16 tiles
        {{128, 14336, 4096}, 128, 1, 112},   // 112 tiles: not two rounds of half as long
        {{4096, 14336, 4096}, 256, 1, 132},  // fourteen rounds
        {{512, 4096, 512}, 128, 1, 128},     // short
    };
    for (const auto &c : choices) {
        cuda::ProductShape shape = {c.s.m, c.s.n, c.s.k, true, cuda::Access::copied, cuda::Weight::nf4_row_scales,
                                    false, false, false, 1000};
        const int64_t sums = c.splits * c.s.m * c.s.n * 4;
        const cuda::Choice choice = cuda::choose(shape, device, c.splits > 1 ? sums + 1000 : 1000);
        check(choice.variant->tile_m == c.tile_m && choice.splits == c.splits && choice.blocks == c.blocks &&
                  choice.workspace_bytes == (c.splits > 1 ? sums : 0),
              "[%lld, %lld, %lld] on wgmma: tiles of %d tokens, %lld parts, %lld blocks, %lld bytes",
              static_cast<long long>(c.s.m), static_cast<long long>(c.s.n), static_cast<long long>(c.s.k),
              choice.variant->tile_m, static_cast<long long>(choice.splits), static_cast<long long>(choice.blocks),
              static_cast<long long>(choice.workspace_bytes));
        if (c.splits == 1) continue;
        const cuda::Choice cramped = cuda::choose(shape, device, sums + 999);
        check(cramped.splits < c.splits && cramped.workspace_bytes <= sums + 999 - 1000,
              "%lld parts in a workspace that is too small for %lld", static_cast<long long>(cramped.splits),
              static_cast<long long>(c.splits));
    }
}

}  // namespace

int main() {
    const Device simt(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, 0, workspace_bytes),
        reference(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 1);
    if (!check(simt.open(), "%s", nf4j_last_error())) return finish("simt product_test");
    constexpr Kind kinds[] = {Kind::dense, Kind::dense_transposed, Kind::nf4, Kind::nf4_backward};
    constexpr Shape small[] = {{1, 8, 8}, {5, 64, 64}, {64, 72, 200}, {65, 130, 136}, {33, 257, 320}, {9, 40, 75}};
    constexpr Shape few_rows[] = {{1, 320, 64},   {7, 64, 512},  {12, 64, 576},
                                  {30, 320, 192}, {30, 64, 512}, {64, 128, 512}};
    for (const char *schedule : schedules) {
        set_schedule(schedule);
        for (Kind kind : kinds) {
            for (const Shape &s : small) {
                test_product(simt, reference, kind, s, NF4J_BF16, Rows::aligned, s.m % 2 ? 64 : 32, s.n % 2 == 0);
            }
        }
        for (Kind kind : {Kind::nf4, Kind::nf4_backward}) {
            for (const Shape &s : few_rows) {
                test_product(simt, reference, kind, s, NF4J_BF16, Rows::aligned, s.m % 2 ? 32 : 128, s.n > 64);
            }
        }
    }
    set_schedule("0");
    for (Kind kind : kinds) {
        test_product(simt, reference, kind, {40, 70, 530}, NF4J_BF16, Rows::odd, 64, true);
        test_product(simt, reference, kind, {70, 64, 576}, NF4J_BF16, Rows::aligned, 64, true);
        test_product(simt, reference, kind, {9, 64, 130}, NF4J_F32, Rows::aligned, 64, true);
        set_schedule(kind == Kind::nf4 ? "4" : "0");
        // 8 x 8 big tiles, ragged where the kind allows it
        const bool nf4 = kind == Kind::nf4 || kind == Kind::nf4_backward;
        test_product(simt, reference, kind, nf4 ? Shape{900, 1024, 192} : Shape{900, 1000, 136}, NF4J_BF16,
                     Rows::aligned, 64, true);
        // 8 x 12 of the biggest
        test_product(simt, reference, kind, nf4 ? Shape{1801, 1536, 64} : Shape{1801, 1420, 72}, NF4J_BF16,
                     Rows::aligned, 128, false);
    }
    test_product(simt, reference, Kind::nf4, {900, 1000, 768}, NF4J_BF16, Rows::aligned, 64, true);

    test_coverage();
    test_splits();
    test_teams();
    test_wgmma_splits();

    // wgmma: tiles of 128 and of 256 tokens, ragged on all sides, blocks with several tiles, more steps than stages.
    const Device hopper(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, 0, workspace_bytes, 1);
    if (!check(hopper.open(), "%s", nf4j_last_error())) return finish("simt product_test");
    played = played_by_1;
    constexpr Shape many_rows[] = {{33, 64, 72}, {130, 192, 200}, {300, 320, 136}};
    for (const char *schedule : schedules) {
        set_schedule(schedule);
        for (const Shape &s : many_rows) {
            const int64_t block_size = s.m % 2 ? 64 : 128;
            test_product(hopper, reference, Kind::nf4_backward, s, NF4J_BF16, Rows::aligned, block_size, s.m > 33);
            test_product(hopper, reference, Kind::nf4, {s.m, s.k, s.n}, NF4J_BF16, Rows::aligned, block_size, s.m > 33);
        }
    }
    // gemv: blocks with several rows of tiles, teams of 16, 4 and 2 warps, k in several steps and in parts of one, and rows and
    // warps that have none.
    constexpr Shape one_row[] = {{1, 330, 4160}, {3, 650, 576}, {8, 40, 1344}, {2, 1050, 512}, {5, 24, 64}};
    for (const char *schedule : schedules) {
        set_schedule(schedule);
        for (const Shape &s : one_row) {
            for (int64_t block_size : {32, 64, 256}) {
                test_product(hopper, reference, Kind::nf4, s, NF4J_BF16, Rows::aligned, block_size, block_size > 32);
            }
        }
    }
    set_schedule("0");
    test_product(hopper, reference, Kind::nf4, {70, 64, 64}, NF4J_BF16, Rows::aligned, 32, true);
    test_product(hopper, reference, Kind::nf4, {70, 64, 64}, NF4J_BF16, Rows::odd, 64, true);
    test_product(hopper, reference, Kind::dense, {1801, 1420, 72}, NF4J_BF16, Rows::aligned, 64, false);
    // With k in two parts: three tiles of both sizes on two multiprocessors, so that blocks have a share of each part; and an
    // odd number of steps.
    for (int64_t m : {100, 200}) {
        test_product(hopper, reference, Kind::nf4, {m, 330, 1344}, NF4J_BF16, Rows::aligned, 64, true);
        test_product(hopper, reference, Kind::nf4_backward, {m, 320, 1330}, NF4J_BF16, Rows::aligned, 64, m > 100);
    }
    test_coverage();
    check(!Device(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, 0, 0, 2).open() &&
              std::string(nf4j_last_error()).find("there is no device 2") != std::string::npos,
          "a third device of simt: %s", nf4j_last_error());
    return finish("simt product_test");
}
