// SwiGLU.
#include "suite.h"

namespace conformance {

namespace {

struct Mlp {
    int64_t m, n;
    int32_t dtype;
};

Real sigmoid(Real x) { return Real(1) / (Real(1) + exp(-x)); }

// Gates of every size: where exp overflows, the result is 0 or the gate itself.
void fill_gate(Matrix &gate, Random &random) {
    gate.fill([&](int64_t, int64_t j) { return normal(random) * (j % 7 == 3 ? 60 : 3); });
}

void swap_values(Problem &p, int a, int b) { std::swap(p[a].values, p[b].values); }

void build_forward(const Mlp &c, Problem &p, Random &random) {
    const int gate = p.input("gate", c.m, c.n, c.dtype, Tokens::rows),
              up = p.input("up", c.m, c.n, c.dtype, Tokens::rows);
    const int h = p.output("h", c.m, c.n, c.dtype, Tokens::rows);
    fill_gate(p[gate], random);
    p[up].normals(random);
    p.invoke = [=](const Call &call) { return nf4j_mlp_swiglu_forward(call.stream, call[gate], call[up], call[h]); };
    p.model = [=](Problem &q) {
        for (int64_t t = 0; t < c.m; t++) {
            for (int64_t j = 0; j < c.n; j++) {
                const Real g = q[gate].at(t, j);
                q.expect(h, t, j, g * sigmoid(g) * Real(q[up].at(t, j)));
            }
        }
    };
    p.anywhere = true;
    p.tokens_alone();
    if (c.m == 0) return;
    p.variants.push_back(
        {"in place of gate", [=, whole = p.invoke](const Call &call) { return whole(call.in_place(gate, h)); }, {}});
    p.variants.push_back(
        {"in place of up", [=, whole = p.invoke](const Call &call) { return whole(call.in_place(up, h)); }, {}});
    p.mistakes.push_back({"gate for up", [=](Problem &q) { swap_values(q, gate, up); }});
    p.off_by_one_row(up);
    p.off_by_one_column(gate);
}

void build_backward(const Mlp &c, Problem &p, Random &random) {
    const int dh = p.input("dh", c.m, c.n, c.dtype, Tokens::rows),
              gate = p.input("gate", c.m, c.n, c.dtype, Tokens::rows);
    const int up = p.input("up", c.m, c.n, c.dtype, Tokens::rows);
    const int dgate = p.output("dgate", c.m, c.n, c.dtype, Tokens::rows),
              dup = p.output("dup", c.m, c.n, c.dtype, Tokens::rows);
    p[dh].normals(random);
    fill_gate(p[gate], random);
    p[up].normals(random);
    p.invoke = [=](const Call &call) {
        return nf4j_mlp_swiglu_backward(call.stream, call[dh], call[gate], call[up], call[dgate], call[dup]);
    };
    p.model = [=](Problem &q) {
        for (int64_t t = 0; t < c.m; t++) {
            for (int64_t j = 0; j < c.n; j++) {
                const Real d = q[dh].at(t, j), g = q[gate].at(t, j), u = q[up].at(t, j), sig = sigmoid(g), one = 1;
                q.expect(dgate, t, j, d * u * sig * (one + g * (one - sig)));
                q.expect(dup, t, j, d * (g * sig));
            }
        }
    };
    p.anywhere = true;
    p.tokens_alone();
    if (c.m == 0) return;
    p.variants.push_back(
        {"in place",
         [=, whole = p.invoke](const Call &call) { return whole(call.in_place(gate, dgate).in_place(up, dup)); },
         {}});
    p.mistakes.push_back({"gate for up", [=](Problem &q) { swap_values(q, gate, up); }});
    p.off_by_one_row(dh);
    p.off_by_one_column(up);
}

}  // namespace

void add_mlp(Suite &suite) {
    const Mlp cases[] = {{0, 33, NF4J_F32},    {1, 1, NF4J_F32},     {1, 7, NF4J_BF16},  {2, 100, NF4J_F32},
                         {7, 33, NF4J_F32},    {8, 257, NF4J_BF16},  {33, 65, NF4J_F32}, {257, 130, NF4J_BF16},
                         {3, 16400, NF4J_F32}, {2, 33001, NF4J_BF16}};
    for (const Mlp &c : cases) {
        const std::string shape = text("m%d-n%d-%s", static_cast<int>(c.m), static_cast<int>(c.n), name_of(c.dtype));
        const bool large = c.m * c.n > 20000;
        suite.add("mlp_swiglu_forward", shape, [c](Problem &p, Random &random) { build_forward(c, p, random); }, large);
        suite.add(
            "mlp_swiglu_backward", shape, [c](Problem &p, Random &random) { build_backward(c, p, random); }, large);
    }
}

}  // namespace conformance
