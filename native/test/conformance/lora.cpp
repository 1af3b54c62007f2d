// LoRA over a frozen layer, dense or NF4.
#include "dropout.h"
#include "layer.h"

namespace conformance {

namespace {

struct Lora {
    int64_t m, out, in, rank;
    int32_t dtype, adapter;
    LayerOptions base;
    float alpha, dropout = 0;
    bool stabilized = false, accumulate = false, aligned = false, results_aligned = false;
    uint64_t seed = 0x123456789abcdefu;
    // Mistakes.
    bool no_scale = false, base_drops = false;

    // Mistakes show in less, or in nothing.
    bool is_empty() const { return out == 0 || in == 0; }
};

// What element (t, i) of x is multiplied by before the adapter sees it.
Real drop(const Lora &c, int64_t t, int64_t i) { return dropout_factor(c.dropout, c.seed, t, i); }

Real scale_of(const Lora &c) {
    if (c.no_scale) return 1;
    const Real rank = static_cast<double>(c.rank);
    return Real(c.alpha) / (c.stabilized ? sqrt(rank) : rank);
}

struct Arguments {
    Layer base;
    int a, b, x, dy, u, device_seed;
    int y, da, db, dx;
};

void model_forward(const Lora &c, const Arguments &g, Problem &p) {
    const std::vector<double> w = g.base.elements(p, c.dtype);
    const Real s = scale_of(c);
    for (int64_t t = 0; t < c.m; t++) {
        std::vector<Real> u;
        for (int64_t r = 0; r < c.rank; r++) {
            Sum sum;
            for (int64_t i = 0; i < c.in; i++) sum.add(drop(c, t, i) * Real(p[g.x].at(t, i)) * Real(p[g.a].at(r, i)));
            u.push_back(sum);
            p.expect(g.u, t, r, sum);
        }
        for (int64_t o = 0; o < c.out; o++) {
            Sum sum;
            for (int64_t i = 0; i < c.in; i++) {
                const Real x = c.base_drops ? drop(c, t, i) * Real(p[g.x].at(t, i)) : Real(p[g.x].at(t, i));
                sum.add(x * Real(w[static_cast<size_t>(o * c.in + i)]));
            }
            for (int64_t r = 0; r < c.rank; r++) sum.add(s * u[static_cast<size_t>(r)] * Real(p[g.b].at(o, r)));
            if (g.base.bias != none) sum.add(p[g.base.bias].at(0, o));
            p.expect(g.y, t, o, sum);
        }
    }
}

void model_backward(const Lora &c, const Arguments &g, Problem &p) {
    const std::vector<double> w = g.base.elements(p, c.dtype);
    const Real s = scale_of(c);
    const auto at = [](int64_t i, int64_t cols, int64_t j) { return static_cast<size_t>(i * cols + j); };
    std::vector<Real> du(static_cast<size_t>(c.m * c.rank));
    for (int64_t t = 0; t < c.m; t++) {
        for (int64_t r = 0; r < c.rank; r++) {
            Sum sum;
            for (int64_t o = 0; o < c.out; o++) sum.add(Real(p[g.dy].at(t, o)) * Real(p[g.b].at(o, r)));
            du[at(t, c.rank, r)] = s * sum;
        }
    }
    for (int64_t o = 0; o < c.out; o++) {
        for (int64_t r = 0; r < c.rank; r++) {
            Sum sum;
            for (int64_t t = 0; t < c.m; t++) sum.add(Real(p[g.dy].at(t, o)) * Real(p[g.u].at(t, r)));
            p.expect(g.db, o, r, Real(p[g.db].at(o, r)) + s * sum);
        }
    }
    for (int64_t r = 0; r < c.rank; r++) {
        for (int64_t i = 0; i < c.in; i++) {
            Sum sum;
            sum.add(p[g.da].at(r, i));
            for (int64_t t = 0; t < c.m; t++) sum.add(du[at(t, c.rank, r)] * (drop(c, t, i) * Real(p[g.x].at(t, i))));
            p.expect(g.da, r, i, sum);
        }
    }
    for (int64_t t = 0; t < c.m; t++) {
        for (int64_t i = 0; i < c.in; i++) {
            Sum adapter, sum;
            for (int64_t r = 0; r < c.rank; r++) adapter.add(du[at(t, c.rank, r)] * Real(p[g.a].at(r, i)));
            sum.add(drop(c, t, i) * adapter);
            for (int64_t o = 0; o < c.out; o++) sum.add(Real(p[g.dy].at(t, o)) * Real(w[at(o, c.in, i)]));
            if (c.accumulate) sum.add(p[g.dx].at(t, i));
            p.expect(g.dx, t, i, sum);
        }
    }
}

void fill(const Lora &c, Matrix &m, Random &random) { c.base.exact ? m.integers(random, -2, 2) : m.normals(random); }

Arguments make_arguments(const Lora &c, Problem &p, Random &random) {
    Arguments g = {};
    p.exact = c.base.exact;
    g.base = make_layer(p, random, c.out, c.in, c.base);
    g.a = p.input("a", c.rank, c.in, c.adapter);
    g.b = p.input("b", c.out, c.rank, c.adapter);
    g.x = p.input("x", c.m, c.in, c.dtype, Tokens::rows);
    for (int matrix : {g.a, g.b, g.x}) {
        fill(c, p[matrix], random);
        p.off_by_one_row(matrix);
        p.off_by_one_column(matrix);
    }
    if (c.aligned) p.align(g.x);
    return g;
}

// The seed, where it can change between two launches of a graph.
void add_device_seed(const Lora &c, Arguments &g, Problem &p) {
    g.device_seed = p.input("device_seed", 1, sizeof c.seed, NF4J_U8);
    p.align(g.device_seed);
    p[g.device_seed].fill([&](int64_t, int64_t byte) { return (c.seed >> (8 * byte)) & 0xff; });
}

// The structs of a call, which point to one another's tensors.
struct Structs {
    nf4j_linear base;
    nf4j_lora lora;

    Structs(const Lora &c, const Arguments &g, const Call &call)
        : base(g.base.linear(call)),
          lora{sizeof lora, c.stabilized, c.alpha, c.dropout, c.seed, call[g.a], call[g.b], nullptr} {}

    // The same, with the seed in device memory.
    Structs &with_device_seed(const Arguments &g, const Call &call) {
        lora.device_seed = static_cast<const uint64_t *>(call[g.device_seed]->data);
        lora.seed = 0;
        return *this;
    }
};

template <class Model>
void add_mistakes(const Lora &c, Problem &p, const Model &model) {
    const auto add = [&](const char *name, const Lora &wrong) {
        p.mistakes.push_back({name, [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, r); }; }});
    };
    Lora wrong = c;
    wrong.no_scale = true;
    add("a missing scale", wrong);
    if (c.dropout == 0) return;
    wrong = c;
    wrong.dropout = 0;
    add("no dropout", wrong);
    wrong = c;
    wrong.seed++;
    add("the mask of another seed", wrong);
}

void build_forward(const Lora &c, Problem &p, Random &random) {
    Arguments g = make_arguments(c, p, random);
    g.u = p.output("u", c.m, c.rank, NF4J_F32, Tokens::rows);
    g.y = p.output("y", c.m, c.out, c.dtype, Tokens::rows);
    if (c.results_aligned) p.align(g.y);
    add_device_seed(c, g, p);
    const auto run = [=](const Call &call, const Structs &s) {
        return nf4j_lora_forward(call.stream, call[g.x], &s.base, &s.lora, call[g.u], call[g.y]);
    };
    p.invoke = [=](const Call &call) { return run(call, Structs(c, g, call)); };
    p.variants.push_back({"the seed in device memory",
                          [=](const Call &call) { return run(call, Structs(c, g, call).with_device_seed(g, call)); },
                          {}});
    p.variants.push_back({"in two steps",
                          [=](const Call &call) {
                              const Structs s(c, g, call);
                              const nf4j_lora *list[] = {&s.lora};
                              const nf4j_tensor *us[] = {call[g.u]};
                              const int32_t status = nf4j_lora_project(call.stream, call[g.x], list, 1, us);
                              return status == NF4J_OK ? nf4j_lora_apply(call.stream, call[g.x], &s.base, &s.lora,
                                                                         call[g.u], call[g.y])
                                                       : status;
                          },
                          {}});
    p.model = [=](Problem &q) { model_forward(c, g, q); };
    // The mask depends on a token's number.
    if (c.dropout == 0) p.tokens_alone(NF4J_OP_LORA_FORWARD, c.out, c.in, c.dtype);
    if (g.base.bias != none) p.off_by_one_column(g.base.bias);
    add_mistakes(c, p, [=](const Lora &wrong, Problem &q) { model_forward(wrong, g, q); });
    if (c.is_empty()) return p.mistakes.clear();
    if (c.dropout == 0) return;
    Lora wrong = c;
    wrong.base_drops = true;
    p.mistakes.push_back(
        {"dropout before the base", [=](Problem &q) { q.model = [=](Problem &r) { model_forward(wrong, g, r); }; }});
}

void build_backward(const Lora &c, Problem &p, Random &random) {
    Arguments g = make_arguments(c, p, random);
    g.dy = p.input("dy", c.m, c.out, c.dtype, Tokens::rows);
    g.u = p.input("u", c.m, c.rank, NF4J_F32, Tokens::rows);
    g.da = p.output("da", c.rank, c.in, NF4J_F32);
    g.db = p.output("db", c.out, c.rank, NF4J_F32);
    g.dx = p.output("dx", c.m, c.in, c.dtype, Tokens::rows);
    add_device_seed(c, g, p);
    for (int matrix : {g.dy, g.u, g.da, g.db}) fill(c, p[matrix], random);
    if (c.aligned) p.align(g.dy);
    if (c.results_aligned) p.align(g.dx);
    if (c.accumulate) fill(c, p[g.dx], random);
    const auto run = [=](const Call &call, const Structs &s, const nf4j_tensor *dx) {
        return nf4j_lora_backward(call.stream, call[g.x], call[g.dy], call[g.u], &s.base, &s.lora, c.accumulate,
                                  call[g.da], call[g.db], dx);
    };
    p.invoke = [=](const Call &call) { return run(call, Structs(c, g, call), call[g.dx]); };
    p.model = [=](Problem &q) { model_backward(c, g, q); };
    if (c.m == 0) return p.mistakes.clear();  // da and db stay what they are
    p.variants.push_back(
        {"without dx", [=](const Call &call) { return run(call, Structs(c, g, call), nullptr); }, {g.da, g.db}});
    p.variants.push_back(
        {"the seed in device memory",
         [=](const Call &call) { return run(call, Structs(c, g, call).with_device_seed(g, call), call[g.dx]); },
         {}});
    if (c.dropout == 0) p.tokens_alone(NF4J_OP_LORA_BACKWARD, c.out, c.in, c.dtype);
    p.off_by_one_row(g.dy);
    p.off_by_one_row(g.u);
    add_mistakes(c, p, [=](const Lora &wrong, Problem &q) { model_backward(wrong, g, q); });
    if (c.is_empty()) p.mistakes.clear();
}

std::string describe(const Lora &c) {
    std::string what = text("m%d-out%d-in%d-r%d-%s-adapter-%s-", static_cast<int>(c.m), static_cast<int>(c.out),
                            static_cast<int>(c.in), static_cast<int>(c.rank), name_of(c.dtype), name_of(c.adapter));
    what += describe(c.base);
    if (c.dropout > 0) what += text("-p%g", static_cast<double>(c.dropout));
    if (c.stabilized) what += "-stabilized";
    if (c.aligned) what += c.results_aligned ? "-all-aligned" : "-aligned";
    return what + (c.accumulate ? "-accumulate" : "");
}

}  // namespace

void add_lora(Suite &suite) {
    const std::array<uint32_t, 4> known = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};  // Random123's test vector
    must(philox({0, 0, 0, 0}, 0, 0) == known ? NF4J_OK : NF4J_INTERNAL, "the suite's own Philox");
    const Lora cases[] = {
        {0, 33, 57, 4, NF4J_F32, NF4J_F32, {}, 6},
        {1, 33, 57, 1, NF4J_F32, NF4J_F32, {NF4J_F32, 0, false, NF4J_F32}, 12},
        {2, 31, 40, 3, NF4J_BF16, NF4J_BF16, {NF4J_BF16}, 6, 0.3f},
        {3, 64, 128, 8, NF4J_F32, NF4J_F32, {NF4J_F32, 64, true}, 12},
        {7, 90, 33, 16, NF4J_BF16, NF4J_F32, {NF4J_F32, 32, false, NF4J_BF16}, 12, 0, true},
        {37, 90, 130, 16, NF4J_F32, NF4J_F32, {NF4J_F32, 64, true, NF4J_F32}, 12, 0.25f, true},
        {8, 100, 300, 65, NF4J_F32, NF4J_F32, {NF4J_F32, 128, false}, 7, 0, true, true},
        {50, 70, 33, 4, NF4J_F32, NF4J_BF16, {NF4J_F32, 0, false, NF4J_F32}, 12, 0.5f, false, true},
        {50, 70, 33, 4, NF4J_BF16, NF4J_F32, {NF4J_F32}, 12, 0.5f, false, true},
        {150, 40, 65, 17, NF4J_BF16, NF4J_BF16, {NF4J_F32, 256, true}, 5, 0.1f, false, true},
        {257, 17, 30, 2, NF4J_F32, NF4J_F32, {NF4J_F32, 4096, false}, 3, 0.9f},
        // few rows of BF16 that copies can fetch, an adapter of several chunks of 16 ranks, k in several parts
        {5, 110, 512, 16, NF4J_BF16, NF4J_BF16, {NF4J_F32, 64, true, NF4J_F32}, 12, 0.25f, true, false, true},
        {8, 520, 64, 20, NF4J_BF16, NF4J_F32, {NF4J_F32, 32, true}, 12, 0, false, true, true},
        {6, 530, 64, 40, NF4J_BF16, NF4J_F32, {NF4J_F32, 128, false, NF4J_BF16}, 12, 0.5f, false, false, true},
        {8, 48, 64, 8, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true, NF4J_F32, true}, 16, 0.5f, false, true, true},
        // many tokens, whose sums are split
        {65, 9, 512, 4, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true}, 12, 0.25f, false, true},
        {260, 16, 70, 4, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true}, 12, 0, false, true},
        // rows that copies can fetch
        {65, 72, 64, 4, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true, NF4J_F32}, 6, 0, false, true, true},
        {70, 66, 64, 17, NF4J_BF16, NF4J_BF16, {NF4J_F32, 256}, 5, 0.1f, false, false, true},
        {257, 72, 128, 16, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true, NF4J_BF16, true}, 32, 0, false, true, true},
        {70, 28, 128, 5, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true, NF4J_F32}, 6, 0, false, true, true, true},
        {66, 20, 192, 24, NF4J_BF16, NF4J_BF16, {NF4J_F32, 64, false}, 5, 0, true, true, true, true},
        {257, 72, 128, 16, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true, NF4J_BF16, true}, 32, 0, false, true, true, true},
        // many tokens and few features, with k in several parts also on wgmma
        {66, 20, 1280, 5, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true, NF4J_F32}, 6, 0, false, false, true},
        {66, 1290, 64, 5, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true}, 6, 0, false, true, true},
        // layers without inputs, without outputs
        {3, 33, 0, 4, NF4J_BF16, NF4J_F32, {NF4J_BF16, 0, false, NF4J_F32}, 6, 0.5f},
        {5, 0, 70, 4, NF4J_BF16, NF4J_F32, {NF4J_BF16}, 6},
        {5, 0, 70, 4, NF4J_F32, NF4J_F32, {}, 6},
        // alpha and rank that make the scale a power of two, dropout that doubles
        {33, 48, 100, 8, NF4J_F32, NF4J_F32, {NF4J_F32, 32, true, NF4J_F32, true}, 16, 0.5f},
        {33, 48, 100, 16, NF4J_BF16, NF4J_BF16, {NF4J_F32, 64, false, 0, true}, 8, 0, true, true},
        {9, 130, 31, 4, NF4J_F32, NF4J_BF16, {NF4J_BF16, 0, false, NF4J_F32, true}, 8, 0.5f, false, true},
        {7, 40, 70, 1, NF4J_BF16, NF4J_F32, {NF4J_F32, 512, true, 0, true}, 2},
    };
    for (const Lora &c : cases) {
        const bool large = c.m * c.out * c.in > 300000;
        suite.add("lora_forward", describe(c), [c](Problem &p, Random &random) { build_forward(c, p, random); }, large);
        suite.add(
            "lora_backward", describe(c), [c](Problem &p, Random &random) { build_backward(c, p, random); }, large);
    }
    // Where not all sums of a pass have room in the workspace, or none.
    const Lora cramped = {260, 400, 64, 4, NF4J_BF16, NF4J_F32, {NF4J_F32, 64, true}, 12, 0.25f};
    const auto in = [](Problem &p, int64_t workspace_bytes) {
        p.invoke = [workspace_bytes, whole = p.invoke](const Call &call) {
            return call.with_workspace(workspace_bytes, whole);
        };
        p.capturable = false;  // the call makes a stream
        p.variants.clear();
    };
    for (int64_t bytes : {30100, 14000}) {
        suite.add("lora_backward", text("%d bytes of workspace", static_cast<int>(bytes)),
                  [=](Problem &p, Random &random) {
                      build_backward(cramped, p, random);
                      in(p, bytes);
                  });
    }
    for (int64_t bytes : {2100, 600}) {
        suite.add("lora_forward", text("%d bytes of workspace", static_cast<int>(bytes)),
                  [=](Problem &p, Random &random) {
                      build_forward(cramped, p, random);
                      in(p, bytes);
                  });
    }
    const Lora starved = {100, 16, 16, 8, NF4J_F32, NF4J_F32, {}, 1};
    suite.add("lora_backward", "a workspace without room for du", [=](Problem &p, Random &random) {
        build_backward(starved, p, random);
        p.starved(1024);
    });
}

}  // namespace conformance
