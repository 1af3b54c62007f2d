// Dense matrix products.
#include "suite.h"

namespace conformance {

namespace {

struct Dense {
    int64_t m, n, k;
    int32_t a, b, c, bias;  // types; bias 0 for none
    bool transpose_a, transpose_b;
    float alpha, beta;
    bool exact;
};

struct Operands {
    int a, b, bias, c;
};

void model(const Dense &d, const Operands &o, Problem &p) {
    for (int64_t i = 0; i < d.m; i++) {
        for (int64_t j = 0; j < d.n; j++) {
            Sum sum;
            for (int64_t l = 0; l < d.k; l++) {
                const double a = d.transpose_a ? p[o.a].at(l, i) : p[o.a].at(i, l);
                const double b = d.transpose_b ? p[o.b].at(j, l) : p[o.b].at(l, j);
                sum.add(Real(a) * rounded(d.a, b));
            }
            Real result = Real(d.alpha) * sum;
            if (d.beta != 0) result = result + Real(d.beta) * p[o.c].at(i, j);
            if (o.bias != none) result = result + Real(p[o.bias].at(0, j));
            p.expect(o.c, i, j, result);
        }
    }
}

void build(const Dense &d, Problem &p, Random &random) {
    Operands o = {};
    o.a = d.transpose_a ? p.input("a", d.k, d.m, d.a, Tokens::columns) : p.input("a", d.m, d.k, d.a, Tokens::rows);
    o.b = d.transpose_b ? p.input("b", d.n, d.k, d.b) : p.input("b", d.k, d.n, d.b);
    o.bias = d.bias ? p.input("bias", 1, d.n, d.bias) : none;
    o.c = p.output("c", d.m, d.n, d.c, Tokens::rows);
    p.exact = d.exact;
    // Integers other than 0: a product of one by one elements shall not vanish.
    const auto element = [&] {
        return d.exact ? static_cast<double>(integer(random, 1, 4) * (2 * integer(random, 0, 1) - 1)) : normal(random);
    };
    const auto fill = [&](int matrix) { p[matrix].fill([&](int64_t, int64_t) { return element(); }); };
    fill(o.a);
    fill(o.b);
    if (o.bias != none) fill(o.bias);
    if (d.beta != 0) fill(o.c);
    p.invoke = [=](const Call &call) {
        const nf4j_matmul_options options = {sizeof options, d.transpose_a, d.transpose_b, d.alpha, d.beta, 0};
        return nf4j_dense_matmul(call.stream, &options, call[o.a], call[o.b], call[o.bias], call[o.c]);
    };
    p.model = [=](Problem &q) { model(d, o, q); };
    p.tokens_alone(NF4J_OP_DENSE_MATMUL, d.n, d.k, d.a);
    const auto mistake = [&](const char *name, const Dense &wrong) {
        p.mistakes.push_back({name, [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, o, r); }; }});
    };
    Dense wrong = d;
    wrong.alpha = 1;
    if (d.k > 0 && d.m * d.n > 1) mistake("no alpha", wrong);  // one element may hide behind the bias
    wrong = d;
    wrong.beta = 1;
    if (d.beta != 0) mistake("beta of 1", wrong);
    wrong = d;
    wrong.transpose_a = !d.transpose_a;
    if (d.m == d.k && d.m > 1) mistake("a transposed", wrong);
    wrong = d;
    wrong.transpose_b = !d.transpose_b;
    if (d.n == d.k && d.n > 1) mistake("b transposed", wrong);
    if (d.k == 0) return;
    p.off_by_one_row(o.a);
    p.off_by_one_row(o.b);
    p.off_by_one_column(o.a);
    p.off_by_one_column(o.b);
}

}  // namespace

void add_dense(Suite &suite) {
    const struct {
        int64_t m, n, k;
    } shapes[] = {{0, 7, 5},   {1, 1, 1},      {2, 40, 33},    {15, 16, 300}, {29, 65, 7},
                  {7, 33, 33}, {33, 33, 33},   {100, 20, 100}, {8, 257, 40},  {3, 1100, 20},
                  {530, 3, 9}, {257, 130, 31}, {4, 5, 0},      {9, 50, 600}};
    constexpr int32_t types[] = {NF4J_F32, NF4J_BF16};
    int number = 0;
    for (const auto &s : shapes) {
        for (int variant = 0; variant < 16; variant++, number++) {
            const int32_t a = types[variant & 1], b = types[variant >> 1 & 1], c = types[number / 3 % 2];
            const int32_t bias = number % 3 == 0 ? 0 : types[number % 3 - 1];
            const Dense d = {s.m,
                             s.n,
                             s.k,
                             a,
                             b,
                             c,
                             bias,
                             (variant & 4) != 0,
                             (variant & 8) != 0,
                             0.75f,
                             number / 2 % 2 ? -1.5f : 0,
                             number % 5 == 2};
            std::string what =
                text("m%d-n%d-k%d-", static_cast<int>(s.m), static_cast<int>(s.n), static_cast<int>(s.k));
            what += text("%s%s-%s%s-%s", name_of(a), d.transpose_a ? "T" : "", name_of(b), d.transpose_b ? "T" : "",
                         name_of(c));
            if (bias) what += text("-bias-%s", name_of(bias));
            if (d.beta != 0) what += "-beta";
            if (d.exact) what += "-exact";
            suite.add(
                "dense_matmul", what, [d](Problem &p, Random &random) { build(d, p, random); },
                s.m * s.n * s.k > 300000);
        }
    }
}

}  // namespace conformance
