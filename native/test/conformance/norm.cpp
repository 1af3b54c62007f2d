// RMSNorm.
#include "suite.h"

namespace conformance {

namespace {

struct Norm {
    int64_t m, n;
    int32_t dtype, weight;
    bool accumulate = false, dweight = true;
};

constexpr float eps = 1e-5f;

void build_forward(const Norm &c, Problem &p, Random &random) {
    const int x = p.input("x", c.m, c.n, c.dtype, Tokens::rows), weight = p.input("weight", 1, c.n, c.weight);
    const int rstd = p.output("rstd", 1, c.m, NF4J_F32, Tokens::columns),
              y = p.output("y", c.m, c.n, c.dtype, Tokens::rows);
    p[x].normals(random);
    p[weight].normals(random);
    p.invoke = [=](const Call &call) {
        return nf4j_norm_forward(call.stream, call[x], call[weight], eps, call[rstd], call[y]);
    };
    p.model = [=](Problem &q) {
        for (int64_t t = 0; t < c.m; t++) {
            Sum squares;
            for (int64_t j = 0; j < c.n; j++) squares.add(Real(q[x].at(t, j)) * q[x].at(t, j));
            const Real r = Real(1) / sqrt(squares / Real(static_cast<double>(c.n)) + Real(eps));
            q.expect(rstd, 0, t, r);
            for (int64_t j = 0; j < c.n; j++) q.expect(y, t, j, Real(q[x].at(t, j)) * r * Real(q[weight].at(0, j)));
        }
    };
    p.anywhere = true;
    p.tokens_alone();
    p.off_by_one_row(x);
    p.off_by_one_column(weight);
}

void build_backward(const Norm &c, Problem &p, Random &random) {
    const int dy = p.input("dy", c.m, c.n, c.dtype, Tokens::rows), x = p.input("x", c.m, c.n, c.dtype, Tokens::rows);
    const int weight = p.input("weight", 1, c.n, c.weight), rstd = p.input("rstd", 1, c.m, NF4J_F32, Tokens::columns);
    const int dweight = c.dweight ? p.output("dweight", 1, c.n, NF4J_F32) : none;
    const int dx = p.output("dx", c.m, c.n, c.dtype, Tokens::rows);
    p[dy].normals(random);
    p[x].normals(random);
    p[weight].normals(random);
    p[rstd].fill([&](int64_t, int64_t) { return std::exp(0.3 * normal(random)); });
    if (c.dweight) p[dweight].normals(random);
    if (c.accumulate) p[dx].normals(random);
    p.invoke = [=](const Call &call) {
        return nf4j_norm_backward(call.stream, call[dy], call[x], call[weight], call[rstd], c.accumulate, call[dweight],
                                  call[dx]);
    };
    p.model = [=](Problem &q) {
        std::vector<Sum> sums(static_cast<size_t>(c.n));
        const auto xh = [&](int64_t t, int64_t j) { return Real(q[x].at(t, j)) * Real(q[rstd].at(0, t)); };
        for (int64_t j = 0; c.dweight && j < c.n; j++) sums[static_cast<size_t>(j)].add(q[dweight].at(0, j));
        for (int64_t t = 0; t < c.m; t++) {
            Sum dot;
            for (int64_t j = 0; j < c.n; j++) {
                dot.add(Real(q[dy].at(t, j)) * Real(q[weight].at(0, j)) * xh(t, j));
                sums[static_cast<size_t>(j)].add(Real(q[dy].at(t, j)) * xh(t, j));
            }
            const Real mean = dot / Real(static_cast<double>(c.n));
            for (int64_t j = 0; j < c.n; j++) {
                const Real g = Real(q[dy].at(t, j)) * Real(q[weight].at(0, j));
                const Real gradient = Real(q[rstd].at(0, t)) * (g - xh(t, j) * mean);
                q.expect(dx, t, j, c.accumulate ? gradient + Real(q[dx].at(t, j)) : gradient);
            }
        }
        for (int64_t j = 0; c.dweight && j < c.n; j++) q.expect(dweight, 0, j, sums[static_cast<size_t>(j)]);
    };
    p.anywhere = true;
    p.tokens_alone();
    if (!c.accumulate && c.m > 0) {
        p.variants.push_back({"dx in place of dy",
                              [=, whole = p.invoke](const Call &call) { return whole(call.in_place(dy, dx)); },
                              {}});
    }
    p.off_by_one_row(x);
    p.off_by_one_row(dy);
    p.off_by_one_column(rstd);
    if (c.accumulate && c.m > 0) {
        p.mistakes.push_back({"dx overwritten", [=](Problem &q) { q[dx].fill([](int64_t, int64_t) { return 0; }); }});
    }
}

}  // namespace

void add_norm(Suite &suite) {
    const Norm cases[] = {
        {0, 33, NF4J_F32, NF4J_F32},          {1, 1, NF4J_F32, NF4J_F32},
        {1, 7, NF4J_BF16, NF4J_BF16},         {2, 33, NF4J_F32, NF4J_F32},
        {7, 257, NF4J_BF16, NF4J_F32, true},  {8, 130, NF4J_F32, NF4J_F32, true, false},
        {33, 65, NF4J_BF16, NF4J_BF16},       {33, 576, NF4J_F32, NF4J_F32, true},
        {257, 31, NF4J_F32, NF4J_F32},        {257, 100, NF4J_BF16, NF4J_F32, true},
        {2, 4099, NF4J_F32, NF4J_F32, false}, {3, 20001, NF4J_BF16, NF4J_BF16, false, false},
    };
    for (const Norm &c : cases) {
        const std::string shape = text("m%d-n%d-%s-weight-%s", static_cast<int>(c.m), static_cast<int>(c.n),
                                       name_of(c.dtype), name_of(c.weight));
        const bool large = c.m * c.n > 20000;
        suite.add("norm_forward", shape, [c](Problem &p, Random &random) { build_forward(c, p, random); }, large);
        const std::string what = shape + (c.accumulate ? "-accumulate" : "") + (c.dweight ? "" : "-no-dweight");
        suite.add("norm_backward", what, [c](Problem &p, Random &random) { build_backward(c, p, random); }, large);
    }
}

}  // namespace conformance
