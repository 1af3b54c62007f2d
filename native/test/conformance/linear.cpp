// Products with NF4 weights: y = x * W^T + bias, dx = dy * W.
#include "layer.h"

namespace conformance {

namespace {

struct Product {
    int64_t m, n, k;  // tokens, out, in
    int32_t dtype;
    LayerOptions layer;
    bool aligned = false;          // rows that copies can fetch
    bool results_aligned = false;  // and into which four elements go at once
};

void fill(Matrix &m, bool exact, Random &random) { exact ? m.integers(random, -2, 2) : m.normals(random); }

void build_forward(const Product &c, Problem &p, Random &random) {
    const Layer layer = make_layer(p, random, c.n, c.k, c.layer);
    const int x = p.input("x", c.m, c.k, c.dtype, Tokens::rows), y = p.output("y", c.m, c.n, c.dtype, Tokens::rows);
    fill(p[x], c.layer.exact, random);
    if (c.aligned) p.align(x);
    if (c.results_aligned) p.align(y);
    p.exact = c.layer.exact;
    p.invoke = [=](const Call &call) {
        return nf4j_nf4_matmul(call.stream, call[x], call.weight(layer.nf4), call[layer.bias], call[y]);
    };
    p.model = [=](Problem &q) {
        const std::vector<double> w = layer.elements(q, c.dtype);
        for (int64_t t = 0; t < c.m; t++) {
            for (int64_t o = 0; o < c.n; o++) {
                Sum sum;
                for (int64_t i = 0; i < c.k; i++) sum.add(Real(q[x].at(t, i)) * w[static_cast<size_t>(o * c.k + i)]);
                if (layer.bias != none) sum.add(q[layer.bias].at(0, o));
                q.expect(y, t, o, sum);
            }
        }
    };
    p.tokens_alone(NF4J_OP_NF4_MATMUL, c.n, c.k, c.dtype);
    if (layer.bias != none) p.off_by_one_column(layer.bias);
    p.off_by_one_row(x);
    p.off_by_one_column(x);
}

void build_backward(const Product &c, Problem &p, Random &random) {
    const Layer layer = make_layer(p, random, c.n, c.k, c.layer);
    const int dy = p.input("dy", c.m, c.n, c.dtype, Tokens::rows), dx = p.output("dx", c.m, c.k, c.dtype, Tokens::rows);
    fill(p[dy], c.layer.exact, random);
    if (c.aligned) p.align(dy);
    if (c.results_aligned) p.align(dx);
    p.exact = c.layer.exact;
    p.invoke = [=](const Call &call) {
        return nf4j_nf4_matmul_backward(call.stream, call[dy], call.weight(layer.nf4), call[dx]);
    };
    p.model = [=](Problem &q) {
        const std::vector<double> w = layer.elements(q, c.dtype);
        for (int64_t t = 0; t < c.m; t++) {
            for (int64_t i = 0; i < c.k; i++) {
                Sum sum;
                for (int64_t o = 0; o < c.n; o++) sum.add(Real(q[dy].at(t, o)) * w[static_cast<size_t>(o * c.k + i)]);
                q.expect(dx, t, i, sum);
            }
        }
    };
    p.tokens_alone(NF4J_OP_NF4_MATMUL_BACKWARD, c.n, c.k, c.dtype);
    p.off_by_one_row(dy);
    p.off_by_one_column(dy);
}

}  // namespace

void add_linear(Suite &suite) {
    const struct {
        int64_t m, n, k;
    } shapes[] = {{0, 16, 64}, {1, 64, 64},   {2, 33, 57},   {3, 17, 130},  {4, 100, 300}, {5, 16, 9},
                  {7, 31, 31}, {8, 48, 1100}, {33, 70, 129}, {257, 90, 65}, {530, 40, 33}};
    int number = 0;
    const auto add = [&](Product c) {
        const std::string what = text("m%d-n%d-k%d-%s-%s", static_cast<int>(c.m), static_cast<int>(c.n),
                                      static_cast<int>(c.k), name_of(c.dtype),
                                      c.results_aligned ? "all-aligned-"
                                      : c.aligned       ? "aligned-"
                                                        : "");
        const bool large = c.m * c.n * c.k > 300000;
        suite.add(
            "nf4_matmul", what + describe(c.layer), [c](Problem &p, Random &random) { build_forward(c, p, random); },
            large);
        c.layer.bias = 0;
        suite.add(
            "nf4_matmul_backward", what + describe(c.layer),
            [c](Problem &p, Random &random) { build_backward(c, p, random); }, large);
    };
    // Every shape with every block size; types, tiers, double quantization and biases go round.
    for (const auto &s : shapes) {
        for (int64_t block_size : {32, 64, 128, 256, 512, 1024, 2048, 4096}) {
            for (bool exact : {false, true}) {
                const int32_t dtype = number / 2 % 2 ? NF4J_BF16 : NF4J_F32;
                const int32_t bias = number % 3 == 0 ? 0 : number % 3 == 1 ? NF4J_F32 : dtype;
                add({s.m, s.n, s.k, dtype, {NF4J_F32, block_size, number / 4 % 2 == 1, bias, exact}});
                number++;
            }
            number++;
        }
    }
    // Shapes at random, the same ones always.
    Random random(1);
    for (int i = 0; i < 24; i++) {
        const int64_t block_size = int64_t{32} << integer(random, 0, 7);
        const Product c = {integer(random, 1, 90),
                           integer(random, 1, 150),
                           integer(random, 1, 300),
                           i % 2 ? NF4J_BF16 : NF4J_F32,
                           {NF4J_F32, block_size, i % 4 < 2, 0, i % 8 > 1}};
        add(c);
    }
    // Few rows of BF16 that copies can fetch, and weights whose columns are a multiple of 64: every number of tokens that has a
    // kernel of its own on a GPU, outputs of one block and of several, the sum in one part and in several.
    const struct {
        int64_t m, n, k;
    } few[] = {{1, 290, 1024}, {3, 520, 192}, {8, 48, 704}, {9, 33, 64},   {16, 257, 64},
               {17, 70, 192},  {32, 20, 320}, {33, 66, 64}, {64, 36, 128}, {64, 8, 512}};
    for (const auto &s : few) {
        for (bool exact : {false, true}) {
            const int32_t bias = number % 3 == 0 ? 0 : number % 3 == 1 ? NF4J_F32 : NF4J_BF16;
            add({s.m,
                 s.n,
                 s.k,
                 NF4J_BF16,
                 {NF4J_F32, int64_t{32} << number % 8, number / 2 % 2 == 1, bias, exact},
                 true});
            number++;
        }
    }
    add({64, 530, 320, NF4J_BF16, {NF4J_F32, 32, true, NF4J_F32, false}});
    add({70, 530, 576, NF4J_BF16, {NF4J_F32, 64, true, NF4J_F32, false}});
    // Few rows of both types, and more blocks in a row than a vector has lanes: nested groups of 256 end within a row.
    add({1, 50, 1184, NF4J_F32, {NF4J_F32, 32, true, 0, false}});
    add({3, 50, 1184, NF4J_BF16, {NF4J_F32, 32, true, 0, true}});
    add({2, 50, 1344, NF4J_F32, {NF4J_F32, 64, false, 0, false}});
    // Rows that copies can fetch, for kernels that begin at many tokens: ragged in tokens, out or in.
    const struct {
        int64_t m, n, k;
    } aligned[] = {{1, 72, 64}, {64, 40, 128}, {65, 72, 64}, {130, 150, 192}, {257, 129, 320}};
    for (const auto &s : aligned) {
        for (int64_t block_size : {64, 4096}) {
            for (bool exact : {false, true}) {
                const int32_t bias = number % 3 == 0 ? 0 : number % 3 == 1 ? NF4J_F32 : NF4J_BF16;
                add({s.m, s.n, s.k, NF4J_BF16, {NF4J_F32, block_size, number / 2 % 2 == 1, bias, exact}, true});
                number++;
            }
        }
    }
    for (bool exact : {false, true}) {
        add({66, 36, 64, NF4J_BF16, {NF4J_F32, 64, true, NF4J_F32, exact}, true, true});
        add({70, 20, 192, NF4J_BF16, {NF4J_F32, 64, !exact, 0, exact}, true, true});
        add({257, 132, 128, NF4J_BF16, {NF4J_F32, 128, true, NF4J_BF16, exact}, true, true});
    }
    // Larger than a block of the cpu's product, and a share for each thread.
    add({257, 330, 300, NF4J_F32, {NF4J_F32, 64, true, 0, true}});
    // Longer than what one pass over k takes.
    add({2, 3, 33001, NF4J_F32, {NF4J_F32, 4096, false, 0, true}});
    add({3, 17, 66000, NF4J_BF16, {NF4J_F32, 64, true, 0, true}});
}

}  // namespace conformance
