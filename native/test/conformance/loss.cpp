// Cross-entropy of a linear head.
#include "layer.h"

#include <algorithm>

namespace conformance {

namespace {

struct Loss {
    int64_t m, n, vocabulary;
    int32_t dtype;
    LayerOptions head;
    double size = 1;     // of the hidden states
    int64_t masked = 5;  // one token in so many has no label
};

constexpr float grad_scale = 0.125f;

struct Arguments {
    int hidden, labels, loss, dhidden;
    Layer head;
};

void model(const Loss &c, const Arguments &a, float scale, Problem &p) {
    const std::vector<double> w = a.head.elements(p, c.dtype);
    const auto at = [&](int64_t o, int64_t i) { return w[static_cast<size_t>(o * c.n + i)]; };
    for (int64_t t = 0; t < c.m; t++) {
        const auto label = static_cast<int64_t>(p[a.labels].at(0, t));
        if (label < 0) {
            p.expect_between(a.loss, 0, t, 0, 0, 0);
            for (int64_t i = 0; i < c.n; i++) p.expect_between(a.dhidden, t, i, 0, 0, 0);
            continue;
        }
        std::vector<Real> gradients;
        double largest = -INFINITY;
        for (int64_t o = 0; o < c.vocabulary; o++) {
            Sum logit;
            for (int64_t i = 0; i < c.n; i++) logit.add(Real(p[a.hidden].at(t, i)) * at(o, i));
            if (a.head.bias != none) logit.add(p[a.head.bias].at(0, o));
            gradients.push_back(logit);
            largest = std::max(largest, gradients.back().value);
        }
        const Real at_label = gradients[static_cast<size_t>(label)];
        Sum total;
        for (Real &g : gradients) {
            g = exp(g - Real(largest));
            total.add(g);
        }
        p.expect(a.loss, 0, t, log(total) + (Real(largest) - at_label));
        for (Real &g : gradients) g = Real(scale) * (g / total);
        Real &at_label_gradient = gradients[static_cast<size_t>(label)];
        at_label_gradient = at_label_gradient - Real(scale);
        if (c.dtype == NF4J_BF16) {  // may be rounded to that type on its way into the product
            for (Real &g : gradients) g = rounding(g.value, g.error, bf16_unit);
        }
        for (int64_t i = 0; i < c.n; i++) {
            Sum sum;
            for (int64_t o = 0; o < c.vocabulary; o++) sum.add(gradients[static_cast<size_t>(o)] * Real(at(o, i)));
            p.expect(a.dhidden, t, i, sum);
        }
    }
}

void build(const Loss &c, Problem &p, Random &random) {
    Arguments a = {};
    a.hidden = p.input("hidden", c.m, c.n, c.dtype, Tokens::rows);
    a.labels = p.input("labels", 1, c.m, NF4J_I32, Tokens::columns);
    a.head = make_layer(p, random, c.vocabulary, c.n, c.head);
    a.loss = p.output("loss", 1, c.m, NF4J_F32, Tokens::columns);
    a.dhidden = p.output("dhidden", c.m, c.n, c.dtype, Tokens::rows);
    p[a.hidden].normals(random, c.size);
    p[a.labels].fill([&](int64_t, int64_t t) {
        return t % c.masked == 1 ? -100 : t == 0 ? c.vocabulary - 1 : integer(random, 0, c.vocabulary - 1);
    });
    const auto run = [=](const Call &call, const nf4j_tensor *dhidden) {
        const nf4j_linear head = a.head.linear(call);
        return nf4j_loss_linear_cross_entropy(call.stream, call[a.hidden], &head, call[a.labels], grad_scale,
                                              call[a.loss], dhidden);
    };
    p.invoke = [=](const Call &call) { return run(call, call[a.dhidden]); };
    p.model = [=](Problem &q) { model(c, a, grad_scale, q); };
    p.tokens_alone();
    if (c.m == 0) return;
    p.variants.push_back({"without the gradient", [=](const Call &call) { return run(call, nullptr); }, {a.loss}});
    const int64_t for_16_tokens = (c.n + 16 * (c.n + c.vocabulary)) * 8;
    p.variants.push_back({"a workspace for 16 tokens",
                          [=, whole = p.invoke](const Call &call) { return call.with_workspace(for_16_tokens, whole); },
                          {}});
    if (a.head.bias != none) p.off_by_one_column(a.head.bias);
    p.off_by_one_row(a.hidden);
    p.mistakes.push_back({"a missing scale", [=](Problem &q) { q.model = [=](Problem &r) { model(c, a, 1, r); }; }});
    p.mistakes.push_back({"the label beside", [=](Problem &q) {
                              q[a.labels].fill([&](int64_t i, int64_t t) {
                                  const double label = q[a.labels].at(i, t);
                                  return label < 0 ? label : label > 0 ? label - 1 : label + 1;
                              });
                          }});
}

}  // namespace

void add_loss(Suite &suite) {
    const Loss cases[] = {
        {0, 7, 5, NF4J_F32, {}},
        {1, 1, 2, NF4J_F32, {}},
        {2, 33, 7, NF4J_BF16, {NF4J_BF16}},
        {7, 40, 37, NF4J_F32, {NF4J_F32, 64, true, NF4J_F32}},
        {8, 33, 257, NF4J_BF16, {NF4J_F32, 0, false, NF4J_BF16}},
        {33, 40, 1000, NF4J_F32, {NF4J_F32}},
        {70, 40, 131, NF4J_BF16, {NF4J_F32, 32, false, NF4J_BF16}},
        {70, 24, 5000, NF4J_F32, {NF4J_F32, 128, true}},
        {257, 17, 33, NF4J_F32, {NF4J_BF16, 0, false, NF4J_F32}},
        {33, 64, 100, NF4J_F32, {}, 10},
        {8, 16, 20, NF4J_F32, {}, 1, 2},
        {3, 8, 4097, NF4J_F32, {}},
        {4, 8, 10000, NF4J_BF16, {NF4J_BF16}},  // more than a round of the block, whose gradient replaces the logits
    };
    for (const Loss &c : cases) {
        std::string what = text("m%d-n%d-vocabulary%d-%s-", static_cast<int>(c.m), static_cast<int>(c.n),
                                static_cast<int>(c.vocabulary), name_of(c.dtype));
        what += describe(c.head) + text("-size%g-masked%d", c.size, static_cast<int>(c.masked));
        suite.add(
            "loss_linear_cross_entropy", what, [c](Problem &p, Random &random) { build(c, p, random); },
            c.m * c.n * c.vocabulary > 400000);
    }
    const Loss starved = {9, 40, 100, NF4J_F32, {}};
    suite.add("loss_linear_cross_entropy", "a workspace for no token", [=](Problem &p, Random &random) {
        build(starved, p, random);
        p.starved(64);
    });
}

}  // namespace conformance
