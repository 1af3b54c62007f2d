// Runs one operation of the CUDA kernels on simt, on a shape of the caller's, and says what its launches did:
//
//   make simt-run OP=nf4_matmul M=64 N=256 K=512 [DTYPE=bf16|f32] [SCHEDULE=7]
//
// Prints nf4j_explain, each launch with its counters (simt/counters.h), and how far the results are from the reference
// backend's. Ends with 1 when they are wrong, or when simt reports a mistake. What M, N and K are, each operation says
// (simt_operations.h); one that is left out is 1.
#include "simt_operations.h"

using namespace nf4j;
using namespace nf4j::test;

namespace {

int usage() {
    std::fputs("usage: make simt-run OP=... M=... N=... K=... [DTYPE=bf16|f32] [SCHEDULE=number], where OP is one of\n",
               stderr);
    for (const Operation &operation : operations)
        std::fprintf(stderr, "  %-26s M, N, K: %s\n", operation.name, operation.shape);
    return 2;
}

int64_t size(const char *text) { return *text ? std::atoll(text) : 1; }

// ||actual - expected|| / ||expected||
double distance(const Matrix &actual, const Matrix &expected) {
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

}  // namespace

int main(int count, char **arguments) {
    if (count != 6) return usage();
    const Operation *operation = nullptr;
    for (const Operation &o : operations) operation = std::strcmp(o.name, arguments[1]) == 0 ? &o : operation;
    const bool f32 = std::strcmp(arguments[5], "f32") == 0;
    const Shape s = {size(arguments[2]), size(arguments[3]), size(arguments[4]), f32 ? NF4J_F32 : NF4J_BF16};
    if (!operation || s.m < 1 || s.n < 1 || s.k < 1 || (!f32 && std::strcmp(arguments[5], "bf16") != 0)) return usage();

    const Device simt(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, 0), reference(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 0);
    must(simt.open() ? NF4J_OK : NF4J_BACKEND_UNAVAILABLE, "simt");
    char text[512];
    must(nf4j_explain(simt.stream, operation->id, s.m, s.n, s.k, s.dtype, text, sizeof text), "explain");
    std::printf("%s\n", text);
    std::fflush(stdout);

    const auto seeded = random_engine();
    const Results actual = operation->run(simt, s);
    random_engine() = seeded;
    const Results expected = operation->run(reference, s);
    // A few roundings to the type, on average; a wrong answer differs by about 1.
    const double allowed = f32 ? 0x1p-18 : 0x1p-6;
    bool right = true;
    for (size_t i = 0; i < expected.size(); i++) {
        const double d = distance(actual[i], expected[i]);
        right = right && d <= allowed;
        std::printf("result %zu: %.1e of its norm away from the reference%s\n", i + 1, d,
                    d <= allowed ? "" : ": WRONG");
    }
    return !right;
}
