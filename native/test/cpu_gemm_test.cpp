// The cpu backend's NF4 weights and matrix products against the reference backend, on every instruction set of this
// machine.
#include "weights.h"

using namespace nf4j;
using namespace nf4j::test;

namespace {

struct Shape {
    int64_t m, n, k;  // tokens, out, in
};

std::string describe(const Device &device, const char *what, Shape s, int32_t dtype, int64_t block = 0,
                     bool nested = false) {
    char text[200];
    std::snprintf(text, sizeof text, "%s %s m=%lld n=%lld k=%lld %s block=%lld%s", device.name.c_str(), what,
                  static_cast<long long>(s.m), static_cast<long long>(s.n), static_cast<long long>(s.k),
                  dtype_name(dtype), static_cast<long long>(block), nested ? " nested" : "");
    return text;
}

// sum |a(i, l)| |b(l, j)|
template <class A, class B>
auto absolute_product(int64_t terms, A a, B b) {
    return [=](int64_t i, int64_t j) {
        double sum = 0;
        for (int64_t l = 0; l < terms; l++)
            sum += std::fabs(static_cast<double>(a(i, l)) * static_cast<double>(b(l, j)));
        return sum;
    };
}

const Device &reference() {
    static const Device device(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 1);
    return device;
}

constexpr int64_t block_sizes[] = {32, 64, 128, 256, 512, 1024, 2048, 4096};

// Quantized bits, every way out and back in.
void test_weights(const Device &cpu) {
    for (Shape s : {Shape{0, 1, 1}, {0, 16, 64}, {0, 33, 57}, {0, 5, 1000}, {0, 130, 96}}) {
        for (int64_t block : block_sizes) {
            for (bool nested : {false, true}) {
                for (int32_t dtype : {NF4J_F32, NF4J_BF16, NF4J_F16}) {
                    const std::string what = describe(cpu, "weights", s, dtype, block, nested);
                    Matrix values(s.n, s.k, dtype, 0);
                    values.fill([&](int64_t i, int64_t) { return i == 2 ? 0 : normal() * 0.05f; });
                    Weight expected(reference(), s.n, s.k, block, nested), actual(cpu, s.n, s.k, block, nested);
                    expected.quantize(values);
                    actual.quantize(values);
                    const State state = actual.exported();
                    check(state == expected.exported(), "%s: exported bytes differ", what.c_str());
                    const Weight again(cpu, state);
                    check(again.exported() == state, "%s: import and export lose something", what.c_str());
                    const int64_t first = s.n / 3, rows = s.n - first - s.n / 4;
                    check_same(actual.dequantized(dtype, first, rows), expected.dequantized(dtype, first, rows), what);
                    check_same(again.dequantized(NF4J_F32, 0, s.n), expected.dequantized(NF4J_F32, 0, s.n), what);
                }
            }
        }
    }
}

void test_nf4_products(const Device &cpu) {
    const Shape shapes[] = {{1, 64, 64}, {2, 33, 57},   {3, 17, 130},  {4, 100, 300}, {5, 16, 8},
                            {7, 31, 31}, {8, 48, 1100}, {33, 70, 129}, {257, 90, 65}, {600, 40, 33}};
    for (Shape s : shapes) {
        for (int64_t block : block_sizes) {
            for (bool nested : {false, true}) {
                for (int32_t dtype : {NF4J_F32, NF4J_BF16}) {
                    Matrix values(s.n, s.k, NF4J_F32, 0), x(s.m, s.k, dtype), dy(s.m, s.n, dtype),
                        bias(1, s.n, integer(0, 1) ? NF4J_F32 : dtype);
                    values.random();
                    const nf4j_tensor tx = x.random().tensor(), tdy = dy.random().tensor(), tb = bias.random().tensor();
                    Weight theirs(reference(), s.n, s.k, block, nested), ours(cpu, s.n, s.k, block, nested);
                    theirs.quantize(values);
                    ours.quantize(values);
                    Matrix w = ours.dequantized(dtype, 0, s.n);
                    Matrix y(s.m, s.n, dtype), expected_y(s.m, s.n, dtype), dx(s.m, s.k, dtype),
                        expected_dx(s.m, s.k, dtype);
                    const nf4j_tensor ty = y.tensor(), tey = expected_y.tensor(), tdx = dx.tensor(),
                                      tedx = expected_dx.tensor();
                    must(nf4j_nf4_matmul(reference().stream, &tx, &theirs.c, &tb, &tey), "nf4_matmul");
                    must(nf4j_nf4_matmul(cpu.stream, &tx, &ours.c, &tb, &ty), "nf4_matmul");
                    check_near(
                        y, expected_y, s.k,
                        [&](int64_t i, int64_t j) {
                            return absolute_product(
                                       s.k, [&](int64_t r, int64_t l) { return x.at(r, l); },
                                       [&](int64_t l, int64_t c) { return w.at(c, l); })(i, j) +
                                   std::fabs(bias.at(0, j));
                        },
                        describe(cpu, "nf4_matmul", s, dtype, block, nested));
                    must(nf4j_nf4_matmul_backward(reference().stream, &tdy, &theirs.c, &tedx), "nf4_matmul_backward");
                    must(nf4j_nf4_matmul_backward(cpu.stream, &tdy, &ours.c, &tdx), "nf4_matmul_backward");
                    check_near(dx, expected_dx, s.n,
                               absolute_product(
                                   s.n, [&](int64_t i, int64_t l) { return dy.at(i, l); },
                                   [&](int64_t l, int64_t j) { return w.at(l, j); }),
                               describe(cpu, "nf4_matmul_backward", s, dtype, block, nested));
                }
            }
        }
    }
}

// With an integer code book every sum is exact, so a wrong index anywhere shows, with no tolerance to hide in.
void test_exact(const Device &cpu) {
    for (int repeat = 0; repeat < 60; repeat++) {
        const Shape s = {integer(1, 90), integer(1, 150), integer(1, 700)};
        const int64_t block = block_sizes[integer(0, 7)];
        const bool nested = integer(0, 1);
        State state(s.n, s.k, block, nested);
        state.integers();
        const Weight theirs(reference(), state), ours(cpu, state);
        check(ours.exported() == state, "%s", describe(cpu, "export", s, NF4J_F32, block, nested).c_str());
        for (int32_t dtype : {NF4J_F32, NF4J_BF16}) {
            Matrix x(s.m, s.k, dtype), dy(s.m, s.n, dtype), y(s.m, s.n, dtype), expected_y(s.m, s.n, dtype),
                dx(s.m, s.k, dtype), expected_dx(s.m, s.k, dtype);
            const nf4j_tensor tx = x.integers(-2, 2).tensor(), tdy = dy.integers(-2, 2).tensor(), ty = y.tensor(),
                              tey = expected_y.tensor(), tdx = dx.tensor(), tedx = expected_dx.tensor();
            must(nf4j_nf4_matmul(reference().stream, &tx, &theirs.c, nullptr, &tey), "nf4_matmul");
            must(nf4j_nf4_matmul(cpu.stream, &tx, &ours.c, nullptr, &ty), "nf4_matmul");
            check_same(y, expected_y, describe(cpu, "exact nf4_matmul", s, dtype, block, nested));
            must(nf4j_nf4_matmul_backward(reference().stream, &tdy, &theirs.c, &tedx), "nf4_matmul_backward");
            must(nf4j_nf4_matmul_backward(cpu.stream, &tdy, &ours.c, &tdx), "nf4_matmul_backward");
            check_same(dx, expected_dx, describe(cpu, "exact nf4_matmul_backward", s, dtype, block, nested));
        }
    }
}

void test_dense(const Device &cpu) {
    for (Shape s :
         {Shape{1, 1, 1}, {2, 40, 33}, {15, 16, 300}, {29, 65, 7}, {100, 200, 530}, {3, 1100, 20}, {530, 3, 9}}) {
        for (int variant = 0; variant < 16; variant++) {
            const int32_t a_type = variant & 1 ? NF4J_BF16 : NF4J_F32, b_type = variant & 2 ? NF4J_BF16 : NF4J_F32;
            const int32_t c_type = integer(0, 1) ? NF4J_BF16 : NF4J_F32;
            nf4j_matmul_options options = {};
            options.struct_size = sizeof options;
            options.transpose_a = variant >> 2 & 1;
            options.transpose_b = variant >> 3 & 1;
            options.alpha = 0.75f;
            options.beta = integer(0, 1) ? 0 : -1.5f;
            Matrix a = options.transpose_a ? Matrix(s.k, s.m, a_type) : Matrix(s.m, s.k, a_type);
            Matrix b = options.transpose_b ? Matrix(s.n, s.k, b_type) : Matrix(s.k, s.n, b_type);
            Matrix bias(1, s.n), before(s.m, s.n, c_type), expected = before, actual = before;
            const nf4j_tensor ta = a.random().tensor(), tb = b.random().tensor(), tbias = bias.random().tensor();
            before.random();
            const auto start = [&](int64_t i, int64_t j) { return options.beta == 0 ? NAN : before.at(i, j); };
            const nf4j_tensor te = expected.fill(start).tensor(), tc = actual.fill(start).tensor();
            const bool biased = integer(0, 1);
            must(nf4j_dense_matmul(reference().stream, &options, &ta, &tb, biased ? &tbias : nullptr, &te),
                 "dense_matmul");
            must(nf4j_dense_matmul(cpu.stream, &options, &ta, &tb, biased ? &tbias : nullptr, &tc), "dense_matmul");
            const auto product = absolute_product(
                s.k, [&](int64_t i, int64_t l) { return options.transpose_a ? a.at(l, i) : a.at(i, l); },
                [&](int64_t l, int64_t j) { return options.transpose_b ? b.at(j, l) : b.at(l, j); });
            const auto magnitude = [&](int64_t i, int64_t j) {
                return product(i, j) + 1.5 * std::fabs(before.at(i, j)) + std::fabs(bias.at(0, j));
            };
            check_near(actual, expected, s.k, magnitude, describe(cpu, "dense_matmul", s, a_type, variant));
        }
    }
}

// A row's bits depend neither on the rows beside it nor on the number of threads; F32 bits not even on the width of the
// vectors.
void test_same_bits() {
    const Shape s = {300, 330, 1100};
    for (int32_t dtype : {NF4J_F32, NF4J_BF16}) {
        Matrix values(s.n, s.k, NF4J_F32, 0), x(s.m, s.k, dtype), dy(s.m, s.n, dtype);
        values.random();
        const nf4j_tensor tx = x.random().tensor(), tdy = dy.random().tensor();
        std::vector<Matrix> first;  // of AVX2 and AVX-512 in F32
        for (int32_t isa = NF4J_ISA_GENERIC; isa <= NF4J_ISA_NEON; isa++) {
            std::vector<Matrix> one;
            for (int32_t threads : {1, 2, 3, 5}) {
                const Device cpu(NF4J_BACKEND_CPU, isa, threads);
                if (!cpu.open()) break;
                Weight w(cpu, s.n, s.k, 64, true);
                w.quantize(values);
                Matrix y(s.m, s.n, dtype), dx(s.m, s.k, dtype);
                const nf4j_tensor ty = y.tensor(), tdx = dx.tensor();
                must(nf4j_nf4_matmul(cpu.stream, &tx, &w.c, nullptr, &ty), "nf4_matmul");
                must(nf4j_nf4_matmul_backward(cpu.stream, &tdy, &w.c, &tdx), "nf4_matmul_backward");
                if (one.empty()) one = {y, dx};
                check_same(y, one[0], describe(cpu, "threads", s, dtype));
                check_same(dx, one[1], describe(cpu, "threads, backward", s, dtype));
                for (int64_t count : {1, 2, 3, 4, 5, 14, 20}) {
                    const int64_t row = integer(0, s.m - count);
                    const nf4j_tensor part_x = x.slice(row, count), part_dy = dy.slice(row, count);
                    Matrix part(s.m, s.n, dtype), part_dx(s.m, s.k, dtype);
                    part.fill([&](int64_t i, int64_t j) { return y.at(i, j); });
                    part_dx.fill([&](int64_t i, int64_t j) { return dx.at(i, j); });
                    const nf4j_tensor to = part.slice(row, count), to_dx = part_dx.slice(row, count);
                    std::memset(part.row(row), 0, static_cast<size_t>(s.n * dtype_size(dtype)));
                    must(nf4j_nf4_matmul(cpu.stream, &part_x, &w.c, nullptr, &to), "nf4_matmul");
                    must(nf4j_nf4_matmul_backward(cpu.stream, &part_dy, &w.c, &to_dx), "nf4_matmul_backward");
                    check_same(part, y, describe(cpu, "rows alone", {count, s.n, s.k}, dtype));
                    check_same(part_dx, dx, describe(cpu, "rows alone, backward", {count, s.n, s.k}, dtype));
                }
            }
            if (one.empty() || isa == NF4J_ISA_GENERIC || dtype != NF4J_F32) continue;
            if (first.empty()) first = one;
            check_same(one[0], first[0], "instruction sets with FMA, " + std::to_string(isa));
            check_same(one[1], first[1], "instruction sets with FMA, backward, " + std::to_string(isa));
        }
    }
}

}  // namespace

int main() {
    int opened = 0;
    for (int32_t isa = NF4J_ISA_GENERIC; isa <= NF4J_ISA_NEON; isa++) {
        const Device cpu(NF4J_BACKEND_CPU, isa, 2);
        if (!cpu.open()) {
            std::printf("skipped: %s\n", nf4j_last_error());
            continue;
        }
        opened++;
        test_weights(cpu);
        test_nf4_products(cpu);
        test_exact(cpu);
        test_dense(cpu);
    }
    check(opened > 0, "no instruction set could be opened");
    test_same_bits();
    return finish("cpu_gemm_test");
}
