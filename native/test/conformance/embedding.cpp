// Rows of a table, and their gradients.
#include "suite.h"

namespace conformance {

namespace {

struct Embedding {
    int64_t m, n, vocabulary;
    int32_t table, activations;
};

// Some ids come often, the first and the last one too.
void fill_ids(Matrix &ids, int64_t vocabulary, Random &random) {
    ids.fill([&](int64_t, int64_t t) {
        return t % 5 == 0 ? vocabulary - 1 : t % 5 == 1 ? 0 : integer(random, 0, vocabulary - 1);
    });
}

void build_forward(const Embedding &c, Problem &p, Random &random) {
    const int ids = p.input("ids", 1, c.m, NF4J_I32, Tokens::columns),
              table = p.input("table", c.vocabulary, c.n, c.table);
    const int y = p.output("y", c.m, c.n, c.activations, Tokens::rows);
    fill_ids(p[ids], c.vocabulary, random);
    p[table].normals(random);
    p.exact = true;
    p.invoke = [=](const Call &call) { return nf4j_embedding_forward(call.stream, call[ids], call[table], call[y]); };
    p.model = [=](Problem &q) {
        for (int64_t t = 0; t < c.m; t++) {
            const auto id = static_cast<int64_t>(q[ids].at(0, t));
            for (int64_t j = 0; j < c.n; j++) q.expect(y, t, j, q[table].at(id, j));
        }
    };
    p.anywhere = true;
    p.tokens_alone();
    if (c.m == 0) return;
    p.off_by_one_row(table);
    p.off_by_one_column(ids);
}

// The order of the additions is promised, so every rounding is known.
void build_backward(const Embedding &c, Problem &p, Random &random) {
    const int ids = p.input("ids", 1, c.m, NF4J_I32, Tokens::columns),
              dy = p.input("dy", c.m, c.n, c.activations, Tokens::rows);
    const int dtable = p.output("dtable", c.vocabulary, c.n, NF4J_F32);
    fill_ids(p[ids], c.vocabulary, random);
    p[dy].normals(random);
    p[dtable].normals(random);
    p.exact = true;
    p.invoke = [=](const Call &call) {
        return nf4j_embedding_backward(call.stream, call[ids], call[dy], call[dtable]);
    };
    p.model = [=](Problem &q) {
        Matrix sums = q[dtable];
        for (int64_t t = 0; t < c.m; t++) {
            const auto id = static_cast<int64_t>(q[ids].at(0, t));
            for (int64_t j = 0; j < c.n; j++) sums.at(id, j) = rounded(NF4J_F32, sums.at(id, j) + q[dy].at(t, j));
        }
        for (int64_t i = 0; i < c.vocabulary; i++) {
            for (int64_t j = 0; j < c.n; j++) q.expect(dtable, i, j, sums.at(i, j));
        }
    };
    p.anywhere = true;
    p.tokens_alone();
    if (c.m == 0) return;
    p.off_by_one_row(dy);
    p.off_by_one_column(ids);
    p.mistakes.push_back(
        {"dtable overwritten", [=](Problem &q) { q[dtable].fill([](int64_t, int64_t) { return 0; }); }});
}

}  // namespace

void add_embedding(Suite &suite) {
    const Embedding cases[] = {
        {0, 33, 10, NF4J_F32, NF4J_F32},    {1, 1, 3, NF4J_F32, NF4J_F32},         {2, 7, 5, NF4J_BF16, NF4J_BF16},
        {7, 100, 1000, NF4J_F32, NF4J_F32}, {8, 33, 4, NF4J_BF16, NF4J_F32},       {33, 257, 50, NF4J_F32, NF4J_BF16},
        {257, 65, 20, NF4J_F32, NF4J_F32},  {257, 130, 100, NF4J_BF16, NF4J_BF16}, {2, 20001, 3, NF4J_F32, NF4J_BF16},
    };
    for (const Embedding &c : cases) {
        const std::string shape = text("m%d-n%d-vocabulary%d-%s", static_cast<int>(c.m), static_cast<int>(c.n),
                                       static_cast<int>(c.vocabulary), name_of(c.activations));
        const bool large = c.m * c.n > 20000;
        suite.add(
            "embedding_forward", shape + "-table-" + name_of(c.table),
            [c](Problem &p, Random &random) { build_forward(c, p, random); }, large);
        suite.add(
            "embedding_backward", shape, [c](Problem &p, Random &random) { build_backward(c, p, random); }, large);
    }
}

}  // namespace conformance
