// The attention kernels for BF16, one by one and in each of their tiles: what they give beside the reference backend,
// that big and small tiles give the same bits, that no access to shared memory has a bank conflict, and that tiles which
// nobody sees are skipped.
#include "cuda/attention_tiles.cuh"
#include "cuda/launch.h"
#include "simt_support.h"

#include <algorithm>

using namespace nf4j;
using namespace nf4j::cuda;
using test::check;

namespace {

using Host = test::Matrix;

struct Case {
    int heads, kv_heads, head_dim, tokens, window;
};

// With rows that begin at sectors.
Host rows(const Case &c, int heads, int32_t dtype = NF4J_BF16) {
    return Host(c.tokens, dtype == NF4J_BF16 ? heads * c.head_dim : heads, dtype, 16);
}

// One sequence, and what the reference backend makes of it.
struct Sequence {
    Case c;
    Host q, k, v, dout, lse, out, dq, dk, dv;

    explicit Sequence(const Case &s)
        : c(s),
          q(rows(s, s.heads)),
          k(rows(s, s.kv_heads)),
          v(rows(s, s.kv_heads)),
          dout(rows(s, s.heads)),
          lse(rows(s, s.heads, NF4J_F32)),
          out(rows(s, s.heads)),
          dq(rows(s, s.heads)),
          dk(rows(s, s.kv_heads)),
          dv(rows(s, s.kv_heads)) {
        for (Host *x : {&q, &k, &v, &dout}) x->random();
        const test::Device reference(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 0);
        const int32_t offsets[] = {0, c.tokens};
        nf4j_attention_options o = {};
        o.struct_size = sizeof o;
        o.heads = c.heads;
        o.kv_heads = c.kv_heads;
        o.head_dim = c.head_dim;
        o.scale = scale();
        o.window = c.window;
        o.sequences = 1;
        o.q_offsets = offsets;
        const nf4j_tensor tq = q.tensor(), tk = k.tensor(), tv = v.tensor(), tlse = lse.tensor(), tout = out.tensor(),
                          tdout = dout.tensor(), tdq = dq.tensor(), tdk = dk.tensor(), tdv = dv.tensor();
        test::must(nf4j_attention_forward(reference.stream, &o, &tq, &tk, &tv, &tlse, &tout), "forward");
        test::must(nf4j_attention_backward(reference.stream, &o, &tq, &tk, &tv, &tlse, &tout, &tdout, &tdq, &tdk, &tdv),
                   "backward");
    }

    float scale() const { return 1 / std::sqrt(static_cast<float>(c.head_dim)); }

    AttentionProblem problem(int tiles) const {
        AttentionProblem p = {};
        p.heads = c.heads;
        p.kv_heads = c.kv_heads;
        p.group = c.heads / c.kv_heads;
        p.head_dim = c.head_dim;
        p.window = c.window;
        p.scale = scale();
        p.sequences = 1;
        p.first_tile[1] = tiles;
        p.queries[0] = p.keys[0] = c.tokens;
        return p;
    }
    HeadMatrix heads(Host &x) const {
        const nf4j_tensor t = x.tensor();
        return {static_cast<nf4j::bf16 *>(t.data), t.ld, c.head_dim, true};
    }
    bool sees(int query, int key) const { return key <= query && (c.window == 0 || key > query - c.window); }

    // Blocks of `height` rows and `width` columns with a pair that sees, of rows of queries and heads and keys; or
    // transposed, of keys and rows.
    int64_t seen_blocks(int height, int width, bool transposed) const {
        const int group = c.heads / c.kv_heads, queries = c.tokens * group;
        const int all_rows = transposed ? c.tokens : queries, all_cols = transposed ? queries : c.tokens;
        int64_t seen = 0;
        for (int r0 = 0; r0 < all_rows; r0 += height) {
            for (int c0 = 0; c0 < all_cols; c0 += width) {
                bool any = false;
                for (int r = r0; r < std::min(r0 + height, all_rows) && !any; r++) {
                    for (int col = c0; col < std::min(c0 + width, all_cols) && !any; col++)
                        any = transposed ? sees(col / group, r) : sees(r / group, col);
                }
                seen += any;
            }
        }
        return seen * c.kv_heads;
    }
};

double distance(const Host &actual, const Host &expected) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < expected.rows(); i++) {
        for (int64_t j = 0; j < expected.cols(); j++) {
            const double wanted = expected.at(i, j), wrong = actual.at(i, j) - wanted;
            difference += wrong * wrong;
            norm += wanted * wanted;
        }
    }
    return std::sqrt(difference / norm);
}

std::string describe(const char *kernel, const Case &c, int rows, int cols) {
    char text[120];
    std::snprintf(text, sizeof text, "%s, %d heads of %d, %d tokens, window %d, tiles of %dx%d", kernel, c.heads,
                  c.head_dim, c.tokens, c.window, rows, cols);
    return text;
}

// `products` of height x width x depth went into each block of the warps' that anybody sees. Conflicts are counted where
// all lanes take part in every access: a counter that matches them by order would mix up the others.
void check_counters(const std::string &what, const Case &c, int64_t blocks, int products, int height, int width,
                    int depth) {
    const simt::Counters &counters = simt::Engine::of_this_thread().counters();
    const bool whole = c.tokens % 128 == 0 && c.head_dim % 64 == 0;
    check(!whole || counters.bank_conflicts == 0, "%s: %lld bank conflicts", what.c_str(),
          static_cast<long long>(counters.bank_conflicts));
    // lse and delta are columns of matrices; whole sectors carry all the rest.
    check(!whole || counters.sectors <= counters.needed_sectors * 33 / 32, "%s: %lld sectors, %lld would do",
          what.c_str(), static_cast<long long>(counters.sectors), static_cast<long long>(counters.needed_sectors));
    const int64_t mma = blocks * products * (height / 16) * (width / 8) * (depth / 16);
    check(counters.mma == mma, "%s: %lld instructions on tensor cores, expected %lld", what.c_str(),
          static_cast<long long>(counters.mma), static_cast<long long>(mma));
}

// A few roundings to BF16, on average; a wrong answer differs by about 1. The conformance suite has the bounds.
void check_close(const std::string &what, const Host &actual, const Host &expected) {
    const double d = distance(actual, expected);
    check(d <= 0x1p-7, "%s: %.1e of the norm away", what.c_str(), d);
    check(actual.guards_hold(), "%s: wrote outside the matrix", what.c_str());
}

template <class S>
std::vector<Host> forward(Sequence &s) {
    std::vector<Host> results = {rows(s.c, s.c.heads, NF4J_F32), rows(s.c, s.c.heads)};
    const nf4j_tensor lse = results[0].tensor();
    const auto tiles = static_cast<int>(ceil_div(s.c.tokens * (s.c.heads / s.c.kv_heads), S::rows));
    const std::string what = describe("forward", s.c, S::rows, S::cols);
    check(launch(nullptr, "attention_forward", int64_t{tiles} * s.c.kv_heads, S::threads, S::shared_bytes,
                 attention_bf16_forward_kernel<S>, s.problem(tiles), s.heads(s.q), s.heads(s.k), s.heads(s.v),
                 matrix_of<float>(&lse), s.heads(results[1])) == NF4J_OK,
          "%s: %s", what.c_str(), test::last_report.c_str());
    check_counters(what, s.c, s.seen_blocks(S::warp_rows, S::cols, false), 2, S::warp_rows, S::cols, S::dim);
    check_close(what + ", lse", results[0], s.lse);
    check_close(what + ", out", results[1], s.out);
    return results;
}

AttentionGradients gradients(Sequence &s, const std::vector<float> &delta) {
    const nf4j_tensor lse = s.lse.tensor();
    return {s.heads(s.q), s.heads(s.k), s.heads(s.v), matrix_of<float>(&lse), s.heads(s.dout), delta.data()};
}

std::vector<float> deltas(Sequence &s) {
    std::vector<float> delta(static_cast<size_t>(s.c.tokens * s.c.heads));
    for (size_t i = 0; i < delta.size(); i++) {
        const auto row = static_cast<int64_t>(i) / s.c.heads, col = static_cast<int64_t>(i) % s.c.heads * s.c.head_dim;
        for (int64_t d = 0; d < s.c.head_dim; d++) delta[i] += s.dout.at(row, col + d) * s.out.at(row, col + d);
    }
    return delta;
}

template <class S>
std::vector<Host> backward_of_queries(Sequence &s) {
    std::vector<Host> results = {rows(s.c, s.c.heads)};
    const std::vector<float> delta = deltas(s);
    const auto tiles = static_cast<int>(ceil_div(s.c.tokens * (s.c.heads / s.c.kv_heads), S::rows));
    const std::string what = describe("dq", s.c, S::rows, S::cols);
    check(launch(nullptr, "attention_dq", int64_t{tiles} * s.c.kv_heads, S::threads, S::tile_bytes,
                 attention_bf16_dq_kernel<S>, s.problem(tiles), gradients(s, delta), s.heads(results[0])) == NF4J_OK,
          "%s: %s", what.c_str(), test::last_report.c_str());
    check_counters(what, s.c, s.seen_blocks(S::warp_rows, S::cols, false), 3, S::warp_rows, S::cols, S::dim);
    check_close(what, results[0], s.dq);
    return results;
}

template <class S>
std::vector<Host> backward_of_keys(Sequence &s) {
    std::vector<Host> results = {rows(s.c, s.c.kv_heads), rows(s.c, s.c.kv_heads)};
    const std::vector<float> delta = deltas(s);
    const auto tiles = static_cast<int>(ceil_div(s.c.tokens, S::rows));
    const std::string what = describe("dk and dv", s.c, S::rows, S::cols);
    check(launch(nullptr, "attention_dkv", int64_t{tiles} * s.c.kv_heads, S::threads, attention_bf16_dkv_bytes<S>(),
                 attention_bf16_dkv_kernel<S>, s.problem(tiles), gradients(s, delta), s.heads(results[0]),
                 s.heads(results[1])) == NF4J_OK,
          "%s: %s", what.c_str(), test::last_report.c_str());
    check_counters(what, s.c, s.seen_blocks(S::warp_rows, S::cols, true), 4, S::warp_rows, S::cols, S::dim);
    check_close(what + ", dk", results[0], s.dk);
    check_close(what + ", dv", results[1], s.dv);
    return results;
}

void check_same_bits(const char *what, const std::vector<Host> &big, const std::vector<Host> &small) {
    for (size_t i = 0; i < big.size(); i++) test::check_same(big[i], small[i], what);
}

template <int D>
void test_tiles(const Case &c) {
    using Tiles = Bf16Tiles<D>;
    Sequence s(c);
    check_same_bits("forward", forward<typename Tiles::BigForward>(s), forward<typename Tiles::SmallForward>(s));
    check_same_bits("dq", backward_of_queries<typename Tiles::BigDq>(s),
                    backward_of_queries<typename Tiles::SmallDq>(s));
    check_same_bits("dk, dv", backward_of_keys<typename Tiles::BigDkv>(s),
                    backward_of_keys<typename Tiles::SmallDkv>(s));
}

}  // namespace

int main() {
    test::connect();
    setenv("NF4J_SIMT_COUNT", "2", 1);
    for (const char *schedule : {"0", "7"}) {
        test::set_schedule(schedule);
        test_tiles<64>({2, 1, 64, 128, 0});
        test_tiles<64>({3, 1, 64, 70, 0});
        test_tiles<64>({4, 2, 64, 150, 41});
        test_tiles<80>({2, 1, 80, 90, 50});
        test_tiles<96>({1, 1, 96, 140, 33});
        test_tiles<128>({4, 2, 128, 128, 45});
        test_tiles<128>({3, 1, 128, 100, 0});
        test_tiles<128>({2, 2, 128, 150, 65});
    }
    return test::finish("simt attention_test");
}
