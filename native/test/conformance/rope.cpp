// Rotary position embedding.
#include "suite.h"

namespace conformance {

namespace {

void build_table(int64_t m, int64_t head_dim, Problem &p, Random &random) {
    const int64_t half = head_dim / 2;
    const int positions = p.input("positions", 1, m, NF4J_I32, Tokens::columns),
              inv_freq = p.input("inv_freq", 1, half, NF4J_F32);
    const int table = p.output("table", m, head_dim, NF4J_F32, Tokens::rows);
    const float scale = 1.25f;
    p[positions].fill([&](int64_t, int64_t t) { return t == 0 ? 131071 : integer(random, 0, 5000); });
    p[inv_freq].fill(
        [&](int64_t, int64_t j) { return std::pow(10000.0, -static_cast<double>(j) / static_cast<double>(half)); });
    p.invoke = [=](const Call &call) {
        return nf4j_rope_table(call.stream, call[positions], call[inv_freq], scale, call[table]);
    };
    p.model = [=](Problem &q) {
        for (int64_t t = 0; t < m; t++) {
            for (int64_t j = 0; j < half; j++) {
                // The header fixes the rounding of the angle.
                const double angle = rounded(NF4J_F32, q[positions].at(0, t) * q[inv_freq].at(0, j));
                const auto scaled = [&](double f) { return Real(scale) * rounding(f, 0, function_error); };
                q.expect(table, t, j, scaled(std::cos(angle)));
                q.expect(table, t, half + j, scaled(std::sin(angle)));
            }
        }
    };
    p.tokens_alone();
    p.off_by_one_column(inv_freq);
    p.off_by_one_column(positions);
}

struct Rope {
    int64_t m, heads, head_dim;
    int32_t dtype;
    bool exact = false;
};

void build_rotation(const Rope &c, bool backward, Problem &p, Random &random) {
    const int64_t half = c.head_dim / 2;
    const int x = p.input(backward ? "dy" : "x", c.m, c.heads * c.head_dim, c.dtype, Tokens::rows);
    const int table = p.input("table", c.m, c.head_dim, NF4J_F32, Tokens::rows);
    const int y = p.output(backward ? "dx" : "y", c.m, c.heads * c.head_dim, c.dtype, Tokens::rows);
    p.exact = c.exact;
    if (c.exact) {
        p[x].integers(random, -8, 8);
        p[table].integers(random, -4, 4);
    } else {
        p[x].normals(random);
        p[table].normals(random);
    }
    const auto rotate = backward ? nf4j_rope_backward : nf4j_rope_forward;
    p.invoke = [=](const Call &call) { return rotate(call.stream, call[x], call[table], call[y]); };
    const auto model = [=](Problem &q, double direction) {
        for (int64_t t = 0; t < c.m; t++) {
            for (int64_t j = 0; j < c.heads * half; j++) {
                const int64_t first = j / half * c.head_dim + j % half, second = first + half;
                const Real cos = q[table].at(t, j % half), sin = direction * q[table].at(t, half + j % half);
                const Real a = q[x].at(t, first), b = q[x].at(t, second);
                q.expect(y, t, first, a * cos - b * sin);
                q.expect(y, t, second, b * cos + a * sin);
            }
        }
    };
    p.model = [=](Problem &q) { model(q, backward ? -1 : 1); };
    p.anywhere = true;
    p.tokens_alone();
    if (c.m == 0) return;
    p.variants.push_back(
        {"in place", [=, whole = p.invoke](const Call &call) { return whole(call.in_place(x, y)); }, {}});
    p.mistakes.push_back(
        {"the other direction", [=](Problem &q) { q.model = [=](Problem &r) { model(r, backward ? 1 : -1); }; }});
    p.off_by_one_row(x);
    p.off_by_one_row(table);
    if (c.heads * c.head_dim > 2) p.off_by_one_column(x);
}

}  // namespace

void add_rope(Suite &suite) {
    for (int64_t m : {0, 1, 33, 257}) {
        for (int64_t head_dim : {2, 34, 128}) {
            suite.add(
                "rope_table", text("m%d-d%d", static_cast<int>(m), static_cast<int>(head_dim)),
                [=](Problem &p, Random &random) { build_table(m, head_dim, p, random); }, m * head_dim > 20000);
        }
    }
    const Rope cases[] = {{0, 2, 8, NF4J_F32},        {1, 1, 2, NF4J_F32},     {2, 3, 6, NF4J_BF16, true},
                          {7, 1, 34, NF4J_F32, true}, {8, 5, 64, NF4J_F32},    {33, 3, 66, NF4J_BF16},
                          {257, 2, 30, NF4J_F32},     {257, 9, 64, NF4J_BF16}, {5, 3, 16, NF4J_BF16}};
    for (const Rope &c : cases) {
        const std::string what = text("m%d-heads%d-d%d-%s%s", static_cast<int>(c.m), static_cast<int>(c.heads),
                                      static_cast<int>(c.head_dim), name_of(c.dtype), c.exact ? "-exact" : "");
        const bool large = c.m * c.heads * c.head_dim > 20000;
        suite.add(
            "rope_forward", what, [c](Problem &p, Random &random) { build_rotation(c, false, p, random); }, large);
        suite.add(
            "rope_backward", what, [c](Problem &p, Random &random) { build_rotation(c, true, p, random); }, large);
    }
}

}  // namespace conformance
