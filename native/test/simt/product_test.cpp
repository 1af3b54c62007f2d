// The paths of the products that need 16-byte aligned BF16 rows, which the conformance suite's matrices hardly ever
// have: copies by cp.async, ldmatrix.trans, both sizes of tiles. Against the reference backend; and rows alone against
// rows in a batch, bit by bit.
#include "simt_support.h"
#include "weights.h"

#include <memory>

using namespace nf4j;
using namespace nf4j::test;

namespace {

struct Shape {
    int64_t m, n, k;
};

// The gap behind rows that makes the next one begin at a multiple of 8 elements.
Matrix aligned(int64_t rows, int64_t cols) { return Matrix(rows, cols, NF4J_BF16, (8 - cols % 8) % 8 + 8); }

enum class Kind { dense, dense_transposed, nf4, nf4_backward };
constexpr const char *names[] = {"dense, b as weights are", "dense", "nf4_matmul", "nf4_matmul_backward"};

// y [m, n] = x [m, k] times a factor that is stored as the kind says.
class Problem {
public:
    Problem(const Device &here, const Device &there, Kind kind, Shape s, int64_t block_size, bool nested)
        : kind_(kind),
          shape_(s),
          x(aligned(s.m, s.k)),
          b_(kind == Kind::dense ? aligned(s.n, s.k) : aligned(s.k, s.n)) {
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
        Matrix y = aligned(count, shape_.n);
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
    Kind kind_;
    Shape shape_;

public:
    Matrix x;

private:
    Matrix b_;
    std::unique_ptr<Weight> here_, there_;
};

void test_product(const Device &simt, const Device &reference, Kind kind, Shape s, int64_t block_size, bool nested) {
    char what[160];
    std::snprintf(what, sizeof what, "%s [%lld, %lld, %lld], blocks of %lld%s", names[static_cast<int>(kind)],
                  static_cast<long long>(s.m), static_cast<long long>(s.n), static_cast<long long>(s.k),
                  static_cast<long long>(block_size), nested ? ", nested" : "");
    Problem problem(simt, reference, kind, s, block_size, nested);
    const Matrix y = problem.run(simt, true, 0, s.m), expected = problem.run(reference, false, 0, s.m);
    // Factors are of order 1: sums of magnitudes stay below 4 k but for one element in a million.
    check_near(y, expected, s.k, [&](int64_t, int64_t) { return 4.0 * static_cast<double>(s.k); }, what);

    const int64_t row = s.m / 2;
    const Matrix alone = problem.run(simt, true, row, 1);
    bool same = true;
    for (int64_t j = 0; j < s.n; j++) same = same && bits_of(alone.at(0, j)) == bits_of(y.at(row, j));
    check(same, "%s: row %lld alone has other bits", what, static_cast<long long>(row));
}

}  // namespace

int main() {
    const Device simt(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, 0), reference(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 1);
    if (!check(simt.open(), "%s", nf4j_last_error())) return finish("simt product_test");
    constexpr Shape small[] = {{1, 8, 8}, {5, 64, 64}, {64, 72, 200}, {65, 130, 136}, {33, 257, 320}, {9, 40, 75}};
    for (const char *schedule : schedules) {
        set_schedule(schedule);
        for (Kind kind : {Kind::dense, Kind::dense_transposed, Kind::nf4, Kind::nf4_backward}) {
            for (const Shape &s : small) test_product(simt, reference, kind, s, s.m % 2 ? 64 : 32, s.n % 2 == 0);
        }
    }
    for (Kind kind : {Kind::dense, Kind::dense_transposed, Kind::nf4, Kind::nf4_backward}) {
        set_schedule(kind == Kind::nf4 ? "4" : "0");
        test_product(simt, reference, kind, {900, 1000, 136}, 64, true);  // 8 x 8 big tiles, ragged on all sides
    }
    return finish("simt product_test");
}
