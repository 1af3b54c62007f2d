// What cuBLAS gets from the cuda backend, with fake_cublas.cpp in its place and on the GPU that fake_runtime.cpp pretends to be: large products of
// BF16 matrices, right to the bit, with a workspace that the stream has had from its beginning.
#include "fake_gpu.h"

using namespace nf4j;
using namespace nf4j::test;

namespace {

int64_t handles() { return ask<int64_t>(FAKE_CUBLAS, "fake_handles"); }
int64_t products() { return ask<int64_t>(FAKE_CUBLAS, "fake_products"); }

// The fewest sums of products that cuBLAS gets, for 128 rows and more than 128 columns.
constexpr int64_t rows = 128, cols = 136, depth = 16384;

constexpr struct DenseProduct {
    bool transpose_a, transpose_b;
    int32_t c_type;
    int64_t m, gap;
} dense_products[] = {{false, true, NF4J_BF16, rows, 0},
                      {false, false, NF4J_F32, rows, 8},
                      {true, false, NF4J_BF16, rows + 7, 3},
                      {true, true, NF4J_F32, rows, 1}};

void fill_with_integers(const nf4j_tensor &t) {
    for (int64_t i = 0; i < t.rows * t.ld; i++) {
        const auto value = static_cast<float>(integer(-2, 2));
        if (t.dtype == NF4J_BF16)
            static_cast<bf16 *>(t.data)[i] = to_bf16(value);
        else
            static_cast<float *>(t.data)[i] = value;
    }
}

double element(const nf4j_tensor &t, int64_t i, int64_t j) {
    const int64_t at = i * t.ld + j;
    return t.dtype == NF4J_BF16 ? to_f32(static_cast<const bf16 *>(t.data)[at])
                                : static_cast<const float *>(t.data)[at];
}

// Factors stored either way, rows with gaps, both types of the result, alpha and beta: some elements against sums of integers, which are exact.
void test_products() {
    int foreign = 0;
    const Opened on(&foreign);
    check(handles() == 1, "a stream has %lld handles", static_cast<long long>(handles()));
    for (const DenseProduct &p : dense_products) {
        Memory memory(on);
        const nf4j_tensor a = memory.matrix(p.transpose_a ? depth : p.m, p.transpose_a ? p.m : depth, NF4J_BF16, p.gap),
                          b = memory.matrix(p.transpose_b ? cols : depth, p.transpose_b ? depth : cols, NF4J_BF16,
                                            p.gap),
                          c = memory.matrix(p.m, cols, p.c_type, p.gap);
        for (const nf4j_tensor &t : {a, b, c}) fill_with_integers(t);
        const std::vector<char> before(static_cast<char *>(c.data),
                                       static_cast<char *>(c.data) + p.m * c.ld * (p.c_type == NF4J_BF16 ? 2 : 4));
        nf4j_tensor old = c;
        old.data = const_cast<char *>(before.data());
        const nf4j_matmul_options options = {sizeof options, p.transpose_a, p.transpose_b, 0.5f, -2, 0};
        const int64_t others = all_calls(), done = products();
        must(nf4j_dense_matmul(on.stream, &options, &a, &b, nullptr, &c), "dense_matmul");
        check(products() == done + 1 && all_calls() == others, "cuBLAS did not get the product, or not it alone");
        check(ask<void *>(FAKE_CUBLAS, "fake_product_stream") == &foreign, "cuBLAS works on another stream");
        for (int sample = 0; sample < 64; sample++) {
            const int64_t i = integer(0, p.m - 1), j = integer(0, cols - 1);
            double sum = 0;
            for (int64_t k = 0; k < depth; k++)
                sum += element(a, p.transpose_a ? k : i, p.transpose_a ? i : k) *
                       element(b, p.transpose_b ? j : k, p.transpose_b ? k : j);
            const auto exact = static_cast<float>(0.5 * sum - 2 * element(old, i, j));
            const double wanted = p.c_type == NF4J_BF16 ? to_f32(to_bf16(exact)) : exact;
            if (!check(element(c, i, j) == wanted, "a %s, b %s: (%lld, %lld) is %g, not %g",
                       p.transpose_a ? "transposed" : "plain", p.transpose_b ? "transposed" : "plain",
                       static_cast<long long>(i), static_cast<long long>(j), element(c, i, j), wanted))
                break;
        }
        for (int64_t i = 0; i < p.m; i++) {
            for (int64_t j = cols; j < c.ld; j++)
                check(element(c, i, j) == element(old, i, j), "a gap between rows was written");
        }
    }
    on.close();
    check(handles() == 0 && pieces() == 0, "a handle or its workspace is left");
}

// What is small, or no product of BF16 matrices, has our own kernels; nf4j_explain knows which. A bias comes first.
void test_limits() {
    const Opened on;
    {
        Memory memory(on);
        const nf4j_tensor a = memory.matrix(rows, depth), b = memory.matrix(cols, depth), c = memory.matrix(rows, cols),
                          bias = memory.matrix(1, cols), wide = memory.matrix(rows, depth, NF4J_F32);
        const nf4j_matmul_options options = {sizeof options, 0, 1, 1, 0, 0};
        const auto by_cublas = [&](nf4j_tensor left, int64_t m) {
            nf4j_tensor result = c;
            left.rows = result.rows = m;
            const int64_t done = products(), launches = calls_of("launch");
            must(nf4j_dense_matmul(on.stream, &options, &left, &b, nullptr, &result), "dense_matmul");
            check((products() > done) != (calls_of("launch") > launches), "neither or both computed it");
            return products() > done;
        };
        const auto explained = [&](int64_t m, int32_t dtype) {
            char text[512];
            must(nf4j_explain(on.stream, NF4J_OP_DENSE_MATMUL, m, cols, depth, dtype, text, sizeof text), "explain");
            return std::string(text).rfind("cuBLAS for m = " + std::to_string(m) + ",", 0) == 0;
        };
        check(by_cublas(a, rows) && explained(rows, NF4J_BF16), "cuBLAS did not get a large product");
        check(!by_cublas(a, rows - 1) && !explained(rows - 1, NF4J_BF16), "cuBLAS got one of few rows");
        check(!by_cublas(wide, rows) && !explained(rows, NF4J_F32), "cuBLAS got one of F32");
        const int64_t done = products(), launches = calls_of("launch");
        must(nf4j_dense_matmul(on.stream, &options, &a, &b, &bias, &c), "dense_matmul with a bias");
        check(products() == done + 1 && calls_of("launch") == launches + 1, "a bias is not one launch before cuBLAS");
        setenv("FAKE_CUBLAS_FAILING", "gemm", 1);
        expect(nf4j_dense_matmul(on.stream, &options, &a, &b, nullptr, &c), NF4J_INTERNAL,
               "cuda: cuBLAS: dense_matmul: status 14", "dense_matmul");
    }
    on.close();
}

// Both products of the loss, of as many tokens each: the chunks of a call are alike, and not too small for it.
void test_loss() {
    const Opened on;
    {
        constexpr int64_t hidden = 1280, vocabulary = 1664, room = (1 << 20) / (4 * vocabulary);
        Memory memory(on);
        const nf4j_tensor all = memory.matrix(2 * room, hidden), weight = memory.matrix(vocabulary, hidden),
                          result = memory.matrix(2 * room, hidden), loss = memory.matrix(1, 2 * room, NF4J_F32);
        const nf4j_tensor labels = memory.matrix(1, 2 * room, NF4J_I32);
        nf4j_linear head = {};
        head.struct_size = sizeof head;
        head.dense = &weight;
        const auto computed = [&](int64_t tokens, int64_t chunks) {
            nf4j_tensor states = all, gradient = result, losses = loss, of = labels;
            states.rows = gradient.rows = losses.cols = of.cols = tokens;
            const int64_t done = products(), launches = calls_of("launch");
            must(nf4j_loss_linear_cross_entropy(on.stream, &states, &head, &of, 1, &losses, &gradient), "loss");
            check(products() - done == 2 * chunks && calls_of("launch") - launches == chunks,
                  "%lld tokens: %lld products of cuBLAS and %lld launches", static_cast<long long>(tokens),
                  static_cast<long long>(products() - done), static_cast<long long>(calls_of("launch") - launches));
        };
        computed(room, 1);
        computed(room + 1, 2);
        computed(2 * room, 2);
    }
    on.close();
}

// No stream, and nothing left of it.
void test_no_stream(int64_t memory, const char *failing, int32_t status, const std::string &text) {
    fake("FAKE_MEMORY", memory);
    if (failing) setenv("FAKE_CUBLAS_FAILING", failing, 1);
    nf4j_device *device = nullptr;
    must(Opened::open(&device), "device_open");
    const int64_t before = pieces();
    const nf4j_stream_options options = {sizeof options, 0, nullptr, 1 << 16};
    nf4j_stream *stream = nullptr;
    expect(nf4j_stream_create(device, &options, &stream), status, text, "stream_create");
    check(!stream && pieces() == before && handles() == 0, "something is left of what failed");
    must(nf4j_device_close(device), "device_close");
}

void test_no_memory() {
    test_no_stream(16 << 20, nullptr, NF4J_OUT_OF_MEMORY,
                   "33554432 bytes of device memory cannot be allocated: out of memory, 16");
}

void test_no_handle() { test_no_stream(64 << 20, "create", NF4J_INTERNAL, "cuda: cuBLAS: cublasCreate: status 14"); }

void test_no_workspace() {
    test_no_stream(64 << 20, "workspace", NF4J_INTERNAL, "cuda: cuBLAS: stream or workspace: status 14");
}

// Found, or why not; then a stream has neither handle nor workspace for it, and every product is ours.
void test_found() { check(probe().find("\ncuBLAS 13.1.2 (") != std::string::npos, "probe: %s", probe().c_str()); }

void test_not_found() {
    setenv("NF4J_CUBLAS", "/nowhere", 1);
    check(probe().find("\nno cuBLAS: NF4J_CUBLAS is /nowhere, and it cannot be loaded") != std::string::npos,
          "probe: %s", probe().c_str());
    const Opened on;
    check(pieces() == 3, "%lld allocations where tables, workspace and the test's own memory are three",
          static_cast<long long>(pieces()));
    {
        Memory memory(on);
        const nf4j_tensor a = memory.matrix(rows, depth), b = memory.matrix(cols, depth), c = memory.matrix(rows, cols);
        const nf4j_matmul_options options = {sizeof options, 0, 1, 1, 0, 0};
        const int64_t launches = calls_of("launch");
        must(nf4j_dense_matmul(on.stream, &options, &a, &b, nullptr, &c), "dense_matmul");
        check(calls_of("launch") > launches, "nobody computed it");
    }
    on.close();
}

}  // namespace

int main() {
    setenv("NF4J_CUBLAS", FAKE_CUBLAS, 1);
    return run_each({test_products, test_limits, test_loss, test_no_memory, test_no_handle, test_no_workspace,
                     test_found, test_not_found},
                    "cublas_test");
}
