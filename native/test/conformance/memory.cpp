// Copy, fill, cast and add: exact, all of them.
#include "suite.h"

namespace conformance {

namespace {

struct Shape {
    int64_t m, n;
};
constexpr Shape shapes[] = {{0, 7}, {1, 1}, {2, 33}, {7, 257}, {8, 15}, {33, 100}, {257, 7}, {3, 45}, {2, 33001}};
constexpr int32_t floats[] = {NF4J_F32, NF4J_BF16, NF4J_F16};

std::string describe(Shape s) { return text("m%d-n%d", static_cast<int>(s.m), static_cast<int>(s.n)); }
bool is_large(Shape s) { return s.m * s.n > 20000; }

// Matrices that begin at a cache line and have so many elements between rows; none: that begin anywhere.
void build_copy(Shape s, int32_t dtype, int64_t gap, Problem &p, Random &random) {
    const int src = p.input("src", s.m, s.n, dtype, Tokens::rows), dst = p.output("dst", s.m, s.n, dtype, Tokens::rows);
    if (gap != none) {
        p[src].gap = p[dst].gap = gap;
        p[src].aligned = p[dst].aligned = true;
    }
    p[src].integers(random, 0, 255);
    p.exact = true;
    p.invoke = [=](const Call &call) { return nf4j_memory_copy(call.stream, call[src], call[dst]); };
    p.model = [=](Problem &q) {
        for (int64_t i = 0; i < s.m; i++) {
            for (int64_t j = 0; j < s.n; j++) q.expect(dst, i, j, q[src].at(i, j));
        }
    };
    p.tokens_alone();
    p.off_by_one_row(src);
}

void build_fill(Shape s, int32_t dtype, double value, Problem &p) {
    const int dst = p.output("dst", s.m, s.n, dtype, Tokens::rows);
    p.exact = true;
    p.anywhere = true;
    p.invoke = [=](const Call &call) { return nf4j_memory_fill(call.stream, value, call[dst]); };
    p.model = [=](Problem &q) {
        for (int64_t i = 0; i < s.m; i++) {
            for (int64_t j = 0; j < s.n; j++) q.expect(dst, i, j, value);
        }
    };
}

// Numbers of every size, ties between two elements of the narrower types, and what is no number.
double number(Random &random) {
    static const double special[] = {
        0,       1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-11,     1 + 0x3p-11, 65519,    65520,    0x1p-24, 0x1p-25,
        0x3p-25, 0x1p-14,    0x1p-133,   0x1p-134 * 1.01, 3.39e38,     INFINITY, 0x1p-149, NAN};
    const double magnitude = integer(random, 0, 3) ? std::exp(4 * normal(random)) : special[integer(random, 0, 16)];
    return integer(random, 0, 1) ? magnitude : -magnitude;
}

void build_cast(Shape s, int32_t from, int32_t to, Problem &p, Random &random) {
    const int src = p.input("src", s.m, s.n, from, Tokens::rows), dst = p.output("dst", s.m, s.n, to, Tokens::rows);
    p[src].fill([&](int64_t i, int64_t j) { return i + j == 0 ? 1.7 : number(random); });
    p.exact = true;
    p.anywhere = true;
    p.portable = true;
    p.invoke = [=](const Call &call) { return nf4j_memory_cast(call.stream, call[src], call[dst]); };
    p.model = [=](Problem &q) {
        for (int64_t i = 0; i < s.m; i++) {
            for (int64_t j = 0; j < s.n; j++) q.expect(dst, i, j, q[src].at(i, j));
        }
    };
    p.tokens_alone();
    p.off_by_one_row(src);
    p.off_by_one_column(src);
}

void build_add(Shape s, int32_t dtype, Problem &p, Random &random) {
    const int a = p.input("a", s.m, s.n, dtype, Tokens::rows), b = p.input("b", s.m, s.n, dtype, Tokens::rows);
    const int y = p.output("y", s.m, s.n, dtype, Tokens::rows);
    p[a].normals(random);
    p[b].normals(random);
    p.exact = true;
    p.anywhere = true;
    p.invoke = [=](const Call &call) { return nf4j_memory_add(call.stream, call[a], call[b], call[y]); };
    p.model = [=](Problem &q) {
        for (int64_t i = 0; i < s.m; i++) {
            // The sum of two BF16 is no double rounding away from BF16: F32 has more than twice its bits.
            for (int64_t j = 0; j < s.n; j++) q.expect(y, i, j, q[a].at(i, j) + q[b].at(i, j));
        }
    };
    p.tokens_alone();
    if (s.m == 0) return;
    p.variants.push_back(
        {"in place of a", [=, whole = p.invoke](const Call &call) { return whole(call.in_place(a, y)); }, {}});
    p.variants.push_back(
        {"in place of b", [=, whole = p.invoke](const Call &call) { return whole(call.in_place(b, y)); }, {}});
    p.off_by_one_row(a);
    p.off_by_one_column(b);
}

}  // namespace

void add_memory(Suite &suite) {
    for (Shape s : shapes) {
        for (int32_t dtype : {NF4J_F32, NF4J_F16, NF4J_BF16, NF4J_I32, NF4J_I64, NF4J_U8}) {
            suite.add(
                "memory_copy", describe(s) + "-" + name_of(dtype),
                [=](Problem &p, Random &random) { build_copy(s, dtype, none, p, random); }, is_large(s));
        }
        for (int32_t from : floats) {
            for (int32_t to : floats) {
                suite.add(
                    "memory_cast", describe(s) + "-" + name_of(from) + "-" + name_of(to),
                    [=](Problem &p, Random &random) { build_cast(s, from, to, p, random); }, is_large(s));
            }
        }
        for (int32_t dtype : {NF4J_F32, NF4J_BF16}) {
            suite.add(
                "memory_add", describe(s) + "-" + name_of(dtype),
                [=](Problem &p, Random &random) { build_add(s, dtype, p, random); }, is_large(s));
        }
    }
    // Much of it: one stretch, or rows that are apart.
    for (const int64_t gap : {0, 13}) {
        for (int32_t dtype : {NF4J_U8, NF4J_BF16}) {
            suite.add("memory_copy", text("aligned-m3-n33001-gap%d-%s", static_cast<int>(gap), name_of(dtype)),
                      [=](Problem &p, Random &random) { build_copy({3, 33001}, dtype, gap, p, random); });
        }
    }
    // Values that are rounded once, not first to F32.
    const struct {
        int32_t dtype;
        double value;
    } fills[] = {{NF4J_F32, 1.1},
                 {NF4J_F32, 0x1p-149},
                 {NF4J_BF16, 1 + 0x1p-8 + 0x1p-40},
                 {NF4J_BF16, -3.3},
                 {NF4J_F16, 1 + 0x1p-11 + 0x1p-40},
                 {NF4J_F16, 1e6},
                 {NF4J_I32, -7},
                 {NF4J_I32, 2.75},
                 {NF4J_I64, 0x1p40},
                 {NF4J_I64, -2.5},
                 {NF4J_U8, 255},
                 {NF4J_U8, 254.6},
                 {NF4J_F32, NAN}};
    for (const auto &f : fills) {
        for (Shape s : {Shape{1, 1}, Shape{33, 100}, Shape{3, 45}, Shape{2, 33001}}) {
            suite.add(
                "memory_fill", describe(s) + text("-%s-%.17g", name_of(f.dtype), f.value),
                [=](Problem &p, Random &) { build_fill(s, f.dtype, f.value, p); }, is_large(s));
        }
    }
}

}  // namespace conformance
