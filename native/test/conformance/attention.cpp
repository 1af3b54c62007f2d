// Causal attention: grouped heads, packed sequences, windows, key-value caches.
#include "attention_model.h"

#include <algorithm>

namespace conformance {

namespace {

constexpr double matching = 1024;

// Scores of 1024 where query and key are of the same of four classes, else of 0. Columns that make no score differ from
// row to row.
void fill_exactly(const Attention &c, const AttentionInputs &in, Problem &p, Random &random) {
    for (int matrix : {in.q, in.k}) {
        int64_t kind = 0;
        p[matrix].fill([&](int64_t, int64_t j) {
            const int64_t column = j % c.head_dim;
            if (column == 0) kind = integer(random, 0, 3);
            if (column < 4) return column == kind ? std::sqrt(matching) : 0.0;
            const bool of_q = column < c.head_dim / 2;
            return of_q == (matrix == in.q) ? static_cast<double>(integer(random, -2, 2)) : 0.0;
        });
    }
    p[in.v].integers(random, -1, 1);
}

AttentionInputs make_inputs(const Attention &c, Problem &p, Random &random) {
    const std::vector<Sequence> sequences = sequences_of(c);
    const int64_t m = tokens_of(c), kv_rows = sequences.empty() ? 0 : sequences.back().kv + sequences.back().keys;
    AttentionInputs in = {p.input("q", m, c.heads * c.head_dim, c.dtype, Tokens::rows),
                          p.input("k", kv_rows, c.kv_heads * c.head_dim, c.dtype, Tokens::rows),
                          p.input("v", kv_rows, c.kv_heads * c.head_dim, c.dtype, Tokens::rows),
                          {0},
                          {},
                          {}};
    for (int matrix : {in.q, in.k, in.v}) p[matrix].normals(random);
    if (c.exact) fill_exactly(c, in, p, random);
    if (c.aligned) {
        for (int matrix : {in.q, in.k, in.v}) p.align(matrix);
    }
    for (const Sequence &s : sequences) {
        in.q_offsets.push_back(static_cast<int32_t>(s.q + s.queries));
        in.kv_offsets.push_back(static_cast<int32_t>(s.kv));
        in.kv_lengths.push_back(static_cast<int32_t>(s.keys));
    }
    return in;
}

nf4j_attention_options options_of(const Attention &c, const AttentionInputs &in) {
    nf4j_attention_options options = {};
    options.struct_size = sizeof options;
    options.heads = c.heads;
    options.kv_heads = c.kv_heads;
    options.head_dim = c.head_dim;
    options.scale = c.scale;
    options.window = c.window;
    options.sequences = static_cast<int64_t>(c.queries.size());
    options.q_offsets = in.q_offsets.data();
    if (!c.cached.empty()) {
        options.kv_offsets = in.kv_offsets.data();
        options.kv_lengths = in.kv_lengths.data();
    }
    return options;
}

// Adds the variant that makes one call for each of `parts`, a sequence with a part of its queries.
template <class Step>
void add_parts(const char *name, const std::vector<Sequence> &parts, Problem &p, const Step &step) {
    if (parts.empty()) return;
    const auto invoke = [=](const Call &call) {
        int32_t status = NF4J_OK;
        for (size_t i = 0; i < parts.size() && status == NF4J_OK; i++) {
            if (parts[i].queries > 0) status = step(call.part(parts[i].q, parts[i].queries), parts[i]);
        }
        return status;
    };
    p.variants.push_back({name, invoke, {}});
}

// Every sequence cut into pieces of its queries, the keys ending with the piece.
std::vector<Sequence> pieces_of(const std::vector<Sequence> &sequences) {
    static constexpr int64_t sizes[] = {5, 1, 1, 3, 64, 2, 30, 1};
    std::vector<Sequence> pieces;
    for (const Sequence &s : sequences) {
        for (int64_t first = 0, i = 0, size = 0; first < s.queries; first += size, i++) {
            size = std::min(sizes[i % 8], s.queries - first);
            pieces.push_back({s.q + first, size, s.kv, s.keys - s.queries + first + size});
        }
    }
    return pieces;
}

void add_mistakes(const Attention &c, Problem &p, const std::function<void(const Attention &, Problem &)> &model) {
    const auto add = [&](bool applies, const char *name, const Attention &wrong) {
        if (!applies) return;
        p.mistakes.push_back({name, [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, r); }; }});
    };
    int64_t longest = 0;
    for (const Sequence &s : sequences_of(c)) longest = std::max(longest, s.queries > 0 ? s.keys : 0);
    Attention wrong = c;
    wrong.scale = 1;
    add(longest > 1 && c.scale != 1, "a missing scale", wrong);
    wrong = c;
    wrong.missed = 1;
    add(longest > 1 && c.window != 1, "the last key unseen", wrong);
    wrong = c;
    wrong.interleaved = true;
    add(longest > 1 && c.kv_heads > 1 && c.heads > c.kv_heads, "key-value heads in turn", wrong);
    wrong = c;
    wrong.window++;
    add(c.window > 0 && longest > c.window, "a window too long by one", wrong);
}

void build_forward(const Attention &c, Problem &p, Random &random) {
    const AttentionInputs in = make_inputs(c, p, random);
    const int lse = p.output("lse", tokens_of(c), c.heads, NF4J_F32, Tokens::rows);
    const int out = p.output("out", tokens_of(c), c.heads * c.head_dim, c.dtype, Tokens::rows);
    if (c.aligned) p.align(out);
    const auto forward = [=](const Call &call, const nf4j_attention_options &options) {
        return nf4j_attention_forward(call.stream, &options, call[in.q], call[in.k], call[in.v], call[lse], call[out]);
    };
    p.invoke = [=](const Call &call) { return forward(call, options_of(c, in)); };
    p.model = [=](Problem &q) { model_attention(c, in, lse, out, q); };
    // Parts of the queries see rows of all of k and v.
    p[in.k].tokens = p[in.v].tokens = Tokens::none;
    const auto part = [=](const Call &call, const Sequence &s) {
        const int32_t q_offsets[] = {0, static_cast<int32_t>(s.queries)};
        const auto kv = static_cast<int32_t>(s.kv), keys = static_cast<int32_t>(s.keys);
        nf4j_attention_options options = options_of(c, in);
        options.sequences = 1;
        options.q_offsets = q_offsets;
        options.kv_offsets = &kv;
        options.kv_lengths = &keys;
        return forward(call, options);
    };
    add_parts("each sequence alone", sequences_of(c), p, part);
    add_parts("a few queries at a time, keys from a cache", pieces_of(sequences_of(c)), p, part);
    add_mistakes(c, p, [=](const Attention &wrong, Problem &q) { model_attention(wrong, in, lse, out, q); });
    p.off_by_one_row(in.k);
    p.off_by_one_row(in.v);
}

void build_backward(const Attention &c, Problem &p, Random &random) {
    const AttentionInputs in = make_inputs(c, p, random);
    const int64_t m = tokens_of(c), q_cols = c.heads * c.head_dim, kv_cols = c.kv_heads * c.head_dim;
    const int lse = p.input("lse", m, c.heads, NF4J_F32, Tokens::rows);
    const int out = p.input("out", m, q_cols, c.dtype, Tokens::rows);
    const int dout = p.input("dout", m, q_cols, c.dtype, Tokens::rows);
    p[dout].normals(random);
    if (c.exact) {  // lse makes weights of 1 where classes match, of 0 elsewhere
        p.exact = true;
        p[lse].fill([](int64_t, int64_t) { return matching; });
        for (int matrix : {out, dout}) p[matrix].integers(random, -1, 1);
    } else {  // lse and out as an exact forward gives them
        Problem forward = p;
        for (int matrix : {lse, out}) forward[matrix].exact = forward[matrix].error = forward[matrix].values;
        for (int matrix : {lse, out}) forward[matrix].low = forward[matrix].high = forward[matrix].values;
        model_attention(c, in, lse, out, forward);
        for (int matrix : {lse, out}) {
            p[matrix].fill([&](int64_t i, int64_t j) { return forward[matrix].exact_at(i, j); });
        }
    }
    const int dq = p.output("dq", m, q_cols, c.dtype, Tokens::rows);
    const int dk = p.output("dk", m, kv_cols, c.dtype, Tokens::rows);
    const int dv = p.output("dv", m, kv_cols, c.dtype, Tokens::rows);
    if (c.aligned) {
        for (int matrix : {out, dout, dq, dk, dv}) p.align(matrix);
    }
    const auto backward = [=](const Call &call, const nf4j_attention_options &options) {
        return nf4j_attention_backward(call.stream, &options, call[in.q], call[in.k], call[in.v], call[lse], call[out],
                                       call[dout], call[dq], call[dk], call[dv]);
    };
    p.invoke = [=](const Call &call) { return backward(call, options_of(c, in)); };
    p.model = [=](Problem &q) { model_attention_backward(c, in, lse, out, dout, dq, dk, dv, q); };
    add_parts("each sequence alone", sequences_of(c), p, [=](const Call &call, const Sequence &s) {
        const int32_t q_offsets[] = {0, static_cast<int32_t>(s.queries)};
        nf4j_attention_options options = options_of(c, in);
        options.sequences = 1;
        options.q_offsets = q_offsets;
        return backward(call, options);
    });
    add_mistakes(c, p, [=](const Attention &wrong, Problem &q) {
        model_attention_backward(wrong, in, lse, out, dout, dq, dk, dv, q);
    });
    p.off_by_one_row(in.k);
    p.off_by_one_row(dout);
}

std::string describe(const Attention &c) {
    std::string what = text("heads%d-kv%d-d%d-m", c.heads, c.kv_heads, c.head_dim);
    for (size_t s = 0; s < c.queries.size() && s < 8; s++)
        what += text(s ? "+%d" : "%d", static_cast<int>(c.queries[s]));
    if (c.queries.size() > 8) what += text("...%zu", c.queries.size());
    for (size_t s = 0; s < c.cached.size(); s++) what += text(s ? "+%d" : "-cached%d", static_cast<int>(c.cached[s]));
    if (c.window > 0) what += text("-window%d", c.window);
    if (c.scale > 1) what += text("-scale%g", static_cast<double>(c.scale));
    return what + "-" + name_of(c.dtype) + (c.aligned ? "-aligned" : "") + (c.exact ? "-exact" : "");
}

}  // namespace

void add_attention(Suite &suite) {
    const Attention cases[] = {
        {2, 1, 8, {}},
        {1, 1, 1, {2}},
        {2, 2, 5, {7}},
        {4, 2, 33, {8, 1, 0, 17}, NF4J_BF16},
        {6, 2, 20, {33, 2, 40}, NF4J_F32, 5},
        {3, 1, 64, {64, 65}, NF4J_BF16, 0},
        {9, 3, 64, {150}, NF4J_F32, 0},
        {2, 1, 130, {100, 7}, NF4J_F32, 64},
        {8, 4, 16, {257, 30}, NF4J_BF16, 100},
        {100, 1, 4, {33}},
        {1, 1, 5000, {3}, NF4J_F32, 0, {}, 0.01f},
        {4, 2, 64, {97, 33}, NF4J_F32, 0, {}, 3},
        {2, 1, 64, {40, 7}, NF4J_F32, 0, {}, -3},
        {2, 1, 64, {40, 7}, NF4J_BF16, 0, {}, -3},
        {4, 1, 40, {1}, NF4J_F32, 0, {0}},
        {4, 2, 40, {1, 1, 1}, NF4J_BF16, 0, {32, 0, 300}},
        {6, 3, 34, {7, 0, 33, 2}, NF4J_F32, 0, {65, 4, 0, 127}},
        {4, 4, 64, {1, 8}, NF4J_F32, 70, {200, 100}},
        {1, 1, 3, std::vector<int64_t>(300, 2)},
        // As models have them: all rows of tensors aligned. Tiles of 32, 64 and 128 rows, windows that end inside them.
        {4, 2, 64, {150, 0, 70, 1}, NF4J_BF16, 0, {}, 0.125f, true},
        {6, 2, 64, {200}, NF4J_BF16, 70, {}, 0.125f, true},
        {1, 1, 72, {130}, NF4J_BF16, 1, {}, 0.1f, true},
        {3, 1, 80, {70, 33}, NF4J_BF16, 40, {}, -0.1f, true},
        {2, 2, 96, {1, 65}, NF4J_BF16, 0, {}, 0.1f, true},
        {4, 1, 128, {100, 37}, NF4J_BF16, 33, {}, 0.1f, true},
        {8, 2, 128, {1, 40, 1, 0}, NF4J_BF16, 50, {200, 3, 0, 9}, 0.1f, true},
        {2, 1, 127, {70}, NF4J_BF16, 0, {}, 0.1f},
        {2, 1, 130, {20, 7}, NF4J_BF16, 5},
        {2, 1, 100, {40, 3}, NF4J_F32, 9},
        {3, 1, 44, {35, 2}, NF4J_F32, 0, {}, 0.2f, true},
        {1, 1, 200, {30}, NF4J_F32},
        {4, 2, 64, {70, 33}, NF4J_BF16, 40, {}, 1, true, true},
        {6, 2, 96, {45}, NF4J_BF16, 0, {}, 1, false, true},
        {2, 1, 20, {40}, NF4J_F32, 0, {}, 1, false, true},
    };
    for (const Attention &c : cases) {
        const bool large = tokens_of(c) * c.heads * c.head_dim > 20000;
        const auto forward = [c](Problem &p, Random &random) { build_forward(c, p, random); };
        const auto backward = [c](Problem &p, Random &random) { build_backward(c, p, random); };
        if (!c.exact) suite.add("attention_forward", describe(c), forward, large);  // lse is a logarithm
        if (c.cached.empty()) suite.add("attention_backward", describe(c), backward, large);
    }
}

}  // namespace conformance
