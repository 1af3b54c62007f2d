// LoRA in two steps: what adapters that share x take from it, and what each then adds to its layer.
#include "dropout.h"
#include "layer.h"

#include <algorithm>

namespace conformance {

namespace {

// ---- the first step

struct Adapter {
    int64_t rank;
    int32_t dtype;
    float dropout = 0;
    uint64_t seed = 0;
};

struct Projection {
    int64_t m, in;
    int32_t dtype;
    std::vector<Adapter> adapters;
    bool aligned = false, exact = false;
    int64_t workspace = 0;  // bytes, where the stream is to have another one
};

// The matrices of one adapter.
struct Places {
    int a, u, device_seed;
};

struct Shared {
    int x;
    std::vector<Places> adapters;
};

void model(const Projection &c, const Shared &g, Problem &p) {
    for (size_t k = 0; k < c.adapters.size(); k++) {
        const Adapter &adapter = c.adapters[k];
        const Matrix &x = p[g.x], &a = p[g.adapters[k].a];
        for (int64_t t = 0; t < c.m; t++) {
            std::vector<Real> row;
            for (int64_t i = 0; i < c.in; i++)
                row.push_back(dropout_factor(adapter.dropout, adapter.seed, t, i) * Real(x.at(t, i)));
            for (int64_t r = 0; r < adapter.rank; r++) {
                Sum sum;
                for (int64_t i = 0; i < c.in; i++) sum.add(row[static_cast<size_t>(i)] * Real(a.at(r, i)));
                p.expect(g.adapters[k].u, t, r, sum);
            }
        }
    }
}

enum class Seeds { in_arguments, in_device_memory };

// The adapters from `first` on, in one call. Neither alpha nor b may be looked at.
int32_t project(const Projection &c, const Shared &g, const Call &call, size_t first, size_t count, Seeds seeds) {
    std::vector<nf4j_lora> loras;
    std::vector<const nf4j_lora *> list;
    std::vector<const nf4j_tensor *> us;
    for (size_t k = first; k < first + count; k++) {
        const Adapter &adapter = c.adapters[k];
        const Places &places = g.adapters[k];
        nf4j_lora lora = {sizeof lora, 0, NAN, adapter.dropout, adapter.seed, call[places.a], nullptr, nullptr};
        if (seeds == Seeds::in_device_memory) {
            lora.device_seed = static_cast<const uint64_t *>(call[places.device_seed]->data);
            lora.seed = 0;
        }
        loras.push_back(lora);
        us.push_back(call[places.u]);
    }
    for (const nf4j_lora &lora : loras) list.push_back(&lora);
    return nf4j_lora_project(call.stream, call[g.x], list.data(), static_cast<int64_t>(count), us.data());
}

// Which bits an adapter gets depends on no other.
int32_t project_one_by_one(const Projection &c, const Shared &g, const Call &call) {
    int32_t status = NF4J_OK;
    for (size_t k = c.adapters.size(); k > 0 && status == NF4J_OK; k--) {
        status = project(c, g, call, k - 1, 1, Seeds::in_arguments);
    }
    return status;
}

void add_mistakes(const Projection &c, const Shared &g, Problem &p) {
    const auto add = [&](const char *name, const Projection &wrong, const Shared &places) {
        p.mistakes.push_back({name, [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, places, r); }; }});
    };
    for (size_t k = 0; k < c.adapters.size(); k++) {
        const size_t next = (k + 1) % c.adapters.size();
        const Adapter &mine = c.adapters[k], &other = c.adapters[next];
        Shared places = g;
        places.adapters[k].a = g.adapters[next].a;
        if (k != next && mine.rank == other.rank) add("the factor of the next adapter", c, places);
        if (mine.dropout == 0) continue;
        Projection wrong = c;
        wrong.adapters[k].dropout = 0;
        add("no dropout", wrong, g);
        wrong = c;
        wrong.adapters[k].seed = k == next ? mine.seed + 1 : other.seed;
        add("the mask of the next adapter", wrong, g);
    }
}

void build_project(const Projection &c, Problem &p, Random &random) {
    const auto fill = [&](int matrix) {
        c.exact ? p[matrix].integers(random, -2, 2) : p[matrix].normals(random);
        p.off_by_one_row(matrix);
        p.off_by_one_column(matrix);
    };
    Shared g = {p.input("x", c.m, c.in, c.dtype, Tokens::rows), {}};
    fill(g.x);
    if (c.aligned) p.align(g.x);
    for (size_t k = 0; k < c.adapters.size(); k++) {
        const Adapter &adapter = c.adapters[k];
        const auto name = [&](const char *what) { return what + std::to_string(k); };
        const Places places = {p.input(name("a").c_str(), adapter.rank, c.in, adapter.dtype),
                               p.output(name("u").c_str(), c.m, adapter.rank, NF4J_F32, Tokens::rows),
                               p.input(name("device_seed").c_str(), 1, sizeof adapter.seed, NF4J_U8)};
        fill(places.a);
        p.align(places.device_seed);
        p[places.device_seed].fill([&](int64_t, int64_t byte) { return (adapter.seed >> (8 * byte)) & 0xff; });
        g.adapters.push_back(places);
    }
    const auto in_workspace = [&](const Invoke &invoke) -> Invoke {
        if (c.workspace == 0) return invoke;
        return [invoke, bytes = c.workspace](const Call &call) { return call.with_workspace(bytes, invoke); };
    };
    const size_t all = c.adapters.size();
    p.exact = c.exact;
    p.capturable = c.workspace == 0;  // else the call makes a stream
    p.invoke = in_workspace([=](const Call &call) { return project(c, g, call, 0, all, Seeds::in_arguments); });
    p.model = [=](Problem &q) { model(c, g, q); };
    p.variants.push_back(
        {"the seeds in device memory",
         in_workspace([=](const Call &call) { return project(c, g, call, 0, all, Seeds::in_device_memory); }),
         {}});
    p.variants.push_back({"one adapter after the other",
                          in_workspace([=](const Call &call) { return project_one_by_one(c, g, call); }),
                          {}});
    // The mask depends on a token's number.
    const auto drops = [](const Adapter &adapter) { return adapter.dropout > 0; };
    if (std::none_of(c.adapters.begin(), c.adapters.end(), drops)) p.tokens_alone();
    add_mistakes(c, g, p);
    if (c.in == 0) p.mistakes.clear();  // all sums are 0
}

std::string describe(const Projection &c) {
    std::string what = text("m%d-in%d-%s", static_cast<int>(c.m), static_cast<int>(c.in), name_of(c.dtype));
    for (const Adapter &adapter : c.adapters) {
        what += text("-r%d-%s", static_cast<int>(adapter.rank), name_of(adapter.dtype));
        if (adapter.dropout > 0) what += text("-p%g", static_cast<double>(adapter.dropout));
    }
    if (c.workspace > 0) what += text("-%d bytes of workspace", static_cast<int>(c.workspace));
    return what + (c.aligned ? "-aligned" : "") + (c.exact ? "-exact" : "");
}

// ---- the second step

struct Application {
    int64_t m, out, in, rank;
    int32_t dtype, adapter;
    LayerOptions base;
    float alpha;
    bool stabilized = false, aligned = false;
    bool no_scale = false;  // a mistake
};

struct Arguments {
    Layer base;
    int x, b, u, y;
};

void model(const Application &c, const Arguments &g, Problem &p) {
    const std::vector<double> w = g.base.elements(p, c.dtype);
    const Real rank = static_cast<double>(c.rank);
    const Real s = c.no_scale ? Real(1) : Real(c.alpha) / (c.stabilized ? sqrt(rank) : rank);
    for (int64_t t = 0; t < c.m; t++) {
        for (int64_t o = 0; o < c.out; o++) {
            Sum sum;
            for (int64_t i = 0; i < c.in; i++)
                sum.add(Real(p[g.x].at(t, i)) * Real(w[static_cast<size_t>(o * c.in + i)]));
            for (int64_t r = 0; r < c.rank; r++) sum.add(s * Real(p[g.u].at(t, r)) * Real(p[g.b].at(o, r)));
            if (g.base.bias != none) sum.add(p[g.base.bias].at(0, o));
            p.expect(g.y, t, o, sum);
        }
    }
}

void build_apply(const Application &c, Problem &p, Random &random) {
    Arguments g = {};
    p.exact = c.base.exact;
    g.base = make_layer(p, random, c.out, c.in, c.base);
    g.x = p.input("x", c.m, c.in, c.dtype, Tokens::rows);
    g.b = p.input("b", c.out, c.rank, c.adapter);
    g.u = p.input("u", c.m, c.rank, NF4J_F32, Tokens::rows);
    g.y = p.output("y", c.m, c.out, c.dtype, Tokens::rows);
    for (int matrix : {g.x, g.b, g.u}) {
        c.base.exact ? p[matrix].integers(random, -2, 2) : p[matrix].normals(random);
        p.off_by_one_row(matrix);
        p.off_by_one_column(matrix);
    }
    if (c.aligned) p.align(g.x);
    p.invoke = [=](const Call &call) {
        const nf4j_linear base = g.base.linear(call);
        // Neither dropout nor a may be looked at.
        const nf4j_lora lora = {sizeof lora, c.stabilized, c.alpha, NAN, 0, nullptr, call[g.b], nullptr};
        return nf4j_lora_apply(call.stream, call[g.x], &base, &lora, call[g.u], call[g.y]);
    };
    p.model = [=](Problem &q) { model(c, g, q); };
    p.tokens_alone(NF4J_OP_LORA_FORWARD, c.out, c.in, c.dtype);
    Application wrong = c;
    wrong.no_scale = true;
    p.mistakes.push_back({"a missing scale", [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, g, r); }; }});
}

std::string describe(const Application &c) {
    return text("m%d-out%d-in%d-r%d-%s-adapter-%s-", static_cast<int>(c.m), static_cast<int>(c.out),
                static_cast<int>(c.in), static_cast<int>(c.rank), name_of(c.dtype), name_of(c.adapter)) +
           describe(c.base) + (c.stabilized ? "-stabilized" : "") + (c.aligned ? "-aligned" : "");
}

}  // namespace

void add_lora_steps(Suite &suite) {
    constexpr int32_t f32 = NF4J_F32, bf16 = NF4J_BF16;
    const Projection projections[] = {
        {0, 57, f32, {{4, f32}, {2, f32}}},
        {1, 33, f32, {{1, f32}}},
        {5, 0, bf16, {{3, f32}, {2, f32}}},
        {3, 128, bf16, {{8, f32}, {8, f32}, {8, bf16}}},
        {37, 130, f32, {{16, f32, 0.25f, 1}, {16, f32, 0.25f, 2}, {4, bf16, 0, 3}}},
        {150, 65, bf16, {{17, bf16, 0.1f, 7}, {3, f32, 0.5f, 0x800000000}, {17, f32, 0.1f, 9}}},
        {66, 300, bf16, {{16, f32, 0.5f, 1}, {40, f32}, {16, f32, 0.5f, 2}}},
        // more than a backend takes at once
        {9,
         40,
         f32,
         {{2, f32}, {2, f32, 0.5f, 1}, {3, bf16}, {2, f32}, {2, f32, 0.5f, 2}, {1, f32}, {2, f32}, {2, f32}, {5, f32}}},
        {70, 40, bf16, {{2, f32}, {2, f32}, {20, f32}, {2, f32}, {2, f32}, {2, bf16}}},
        // rows that copies can fetch
        {65, 64, bf16, {{4, f32}, {20, f32, 0.5f, 6}, {16, f32}}, true},
        {130, 512, bf16, {{16, f32}, {16, f32}, {16, f32}}, true},
        // dropout that doubles
        {33, 100, f32, {{8, f32, 0.5f, 4}, {8, f32, 0.5f, 5}}, false, true},
        {33, 100, bf16, {{16, bf16}, {1, f32, 0.5f, 6}, {16, f32}}, false, true},
        // sums of all adapters have room for a tile of tokens, of one, of some, of none
        {260, 64, bf16, {{4, f32, 0.25f, 1}, {4, f32, 0.25f, 2}, {6, f32}}, false, false, 4200},
        {260, 64, bf16, {{4, f32, 0.25f, 1}, {4, f32, 0.25f, 2}, {6, f32}}, false, false, 2100},
        {260, 64, bf16, {{4, f32, 0.25f, 1}, {4, f32, 0.25f, 2}, {6, f32}}, false, false, 1100},
        {260, 64, bf16, {{4, f32, 0.25f, 1}, {4, f32, 0.25f, 2}, {6, f32}}, false, false, 600},
        // sums so long that their parts could be added up, more of them where tokens are few; no room for a tile of tokens
        {70, 800, f32, {{8, f32}}},
        {70, 800, bf16, {{8, f32}}, false, false, 6400},
    };
    for (const Projection &c : projections) {
        int64_t ranks = 0;
        for (const Adapter &adapter : c.adapters) ranks += adapter.rank;
        suite.add(
            "lora_project", describe(c), [c](Problem &p, Random &random) { build_project(c, p, random); },
            c.m * c.in * ranks > 1000000);
    }
    const Application applications[] = {
        {0, 33, 57, 4, f32, f32, {}, 6},
        {1, 33, 57, 1, f32, f32, {f32, 0, false, f32}, 12},
        {2, 31, 40, 3, bf16, bf16, {bf16}, 6},
        {3, 64, 128, 8, f32, bf16, {f32, 64, true}, 12},
        {7, 90, 33, 16, bf16, f32, {f32, 32, false, bf16}, 12, true},
        {5, 110, 512, 16, bf16, bf16, {f32, 64, true, f32}, 12, true},
        {70, 66, 64, 17, bf16, f32, {f32, 64, true, bf16}, 5, false, true},
        {37, 90, 130, 20, f32, f32, {f32, 64, true, f32}, 12},
        {33, 48, 100, 16, bf16, bf16, {f32, 64, false, 0, true}, 8},
        {9, 130, 31, 4, f32, f32, {bf16, 0, false, f32, true}, 8},
    };
    for (const Application &c : applications) {
        suite.add(
            "lora_apply", describe(c), [c](Problem &p, Random &random) { build_apply(c, p, random); },
            c.m * c.out * c.in > 300000);
    }
}

}  // namespace conformance
