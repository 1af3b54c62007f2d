// Products whose large part cuBLAS takes, with simt in its place: what is launched, and what comes out. All numbers are small
// integers and powers of two, so that sums are exact and each element has one right value.
#include "cuda/operand.cuh"
#include "simt/capture.h"
#include "simt_support.h"
#include "weights.h"

#include <functional>

using namespace nf4j;
using namespace nf4j::test;

namespace {

const Backend *ops;

using Names = std::vector<std::string>;

void done(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "FAILED: %s\n", last_report.c_str());
    std::exit(1);
}

// One that simt plays, with a stream.
class Gpu {
public:
    nf4j_stream stream = {};

    Gpu(int32_t ordinal, const char *played, int64_t workspace_bytes) {
        setenv("NF4J_SIMT_DEVICE", played, 1);
        nf4j_device_options options = {};
        options.ordinal = ordinal;
        done(ops->open(&options, &device_));
        stream.device = &device_;
        stream.workspace_bytes = workspace_bytes;
        stream.workspace = static_cast<char *>(memory(workspace_bytes));
        done(ops->stream_create(&stream));
    }
    ~Gpu() {
        ops->stream_destroy(&stream);
        for (void *data : memory_) ops->free(&device_, data);
        ops->close(&device_);
    }
    Gpu(const Gpu &) = delete;
    Gpu &operator=(const Gpu &) = delete;

    void *memory(int64_t bytes) {
        void *data;
        done(ops->alloc(&device_, bytes, &data));
        memory_.push_back(data);
        return data;
    }

    // The names of what an operation launches, as a graph that is then run, or not.
    Names launches(const std::function<int32_t()> &operation, bool and_run = true) {
        void *graph;
        done(ops->graph_begin(&stream));
        stream.capturing = true;
        done(operation());
        stream.capturing = false;
        done(ops->graph_end(&stream, &graph));
        const Names names = static_cast<const simt::Capture *>(graph)->names();
        if (and_run) done(ops->graph_launch(&stream, graph));
        ops->graph_destroy(graph);
        return names;
    }

private:
    nf4j_device device_ = {};
    std::vector<void *> memory_;
};

// A weight of integers, dense and as NF4 in a GPU's layout.
struct Layer {
    Matrix dense;
    nf4j_tensor tensor;
    nf4j_nf4_weight nf4 = {};
    nf4j_linear linear = {};

    Layer(int64_t rows, int64_t cols) : dense(rows, cols, NF4J_BF16, 8) {
        dense.integers(-2, 2);
        tensor = dense.tensor();
        linear.dense = &tensor;
    }
    Layer(Gpu &gpu, int64_t rows, int64_t cols, int64_t block_size, bool nested) : dense(rows, cols, NF4J_BF16) {
        State state(rows, cols, block_size, nested);
        state.integers();
        nf4 = {
            sizeof nf4, nested, rows, cols, block_size, nullptr, ops->nf4_weight_bytes(rows, cols, block_size, nested)};
        nf4.data = gpu.memory(nf4.bytes);
        done(ops->nf4_import(&gpu.stream, &state.c, &nf4));
        dense.fill([&](int64_t i, int64_t j) {
            const auto at = static_cast<size_t>(i * cols + j), block = at / static_cast<size_t>(block_size);
            const uint8_t pair = state.codes[at / 2];
            const float scale = nested ? state.nested_map[state.absmax8[block]] * state.nested_absmax[block / 256] + 2
                                       : state.absmax[block];
            return state.quant_map[at % 2 == 0 ? pair >> 4 : pair & 15] * scale;
        });
        linear.nf4 = &nf4;
    }
    Layer(const Layer &) = delete;
    Layer &operator=(const Layer &) = delete;
};

// All of y [m, out] = x * W^T + s * u * B^T and dx [m, in] = dy * W + drop'(du * A), of an adapter with s = 1/2.
struct Adapted {
    static constexpr int64_t rank = 5;

    int64_t m, out, in;
    Matrix x, y, dy, dx, u, a, b, bias, da, db;
    nf4j_tensor tx, ty, tdy, tdx, tu, ta, tb, tbias, tda, tdb;
    nf4j_lora lora = {};

    Adapted(int64_t tokens, int64_t outputs, int64_t inputs, float dropout = 0)
        : m(tokens),
          out(outputs),
          in(inputs),
          x(m, in, NF4J_BF16, 16 - in % 8),
          y(m, out, NF4J_BF16, 16 - out % 8),
          dy(m, out, NF4J_BF16, 16 - out % 8),
          dx(m, in, NF4J_BF16, 16 - in % 8),
          u(m, rank),
          a(rank, in),
          b(out, rank),
          bias(1, out),
          da(rank, in),
          db(out, rank) {
        for (Matrix *t : {&x, &dy, &y, &dx}) t->integers(-2, 2);
        for (Matrix *t : {&u, &a, &bias}) t->integers(-3, 3);
        // Few that are not 0, lest du has bits that BF16 has not.
        b.fill([](int64_t o, int64_t) { return o % 97 == 0 ? 1 : 0; });
        for (Matrix *t : {&da, &db}) t->integers(0, 0);
        tx = x.tensor(), ty = y.tensor(), tdy = dy.tensor(), tdx = dx.tensor(), tu = u.tensor();
        ta = a.tensor(), tb = b.tensor(), tbias = bias.tensor(), tda = da.tensor(), tdb = db.tensor();
        lora = {sizeof lora, 0, 0.5f * static_cast<float>(rank), dropout, 99, &ta, &tb, nullptr};
    }
    Adapted(const Adapted &) = delete;
    Adapted &operator=(const Adapted &) = delete;

    // The first and the last rows, and some between, of a result whose exact elements are wanted(i, j).
    template <class F>
    void check_rows(const Matrix &result, const char *what, const F &wanted) const {
        for (int64_t i = 0; i < m; i += i < 2 || i >= m - 3 ? 1 : integer(1, m / 8)) {
            for (int64_t j = 0; j < result.cols(); j++) {
                const auto right = static_cast<double>(to_f32(to_bf16(static_cast<float>(wanted(i, j)))));
                if (result.at(i, j) == right) continue;
                check(false, "%s: (%lld, %lld) is %g, not %g", what, static_cast<long long>(i),
                      static_cast<long long>(j), static_cast<double>(result.at(i, j)), right);
                return;
            }
        }
        check(result.guards_hold(), "%s: wrote outside the matrix", what);
    }

    void check_forward(const Layer &layer, bool with_adapter, bool with_bias, const char *what) const {
        check_rows(y, what, [&](int64_t i, int64_t o) {
            double sum = with_bias ? bias.at(0, o) : 0;
            for (int64_t k = 0; k < in; k++) sum += double{x.at(i, k)} * layer.dense.at(o, k);
            for (int64_t r = 0; with_adapter && r < rank; r++) sum += 0.5 * u.at(i, r) * b.at(o, r);
            return sum;
        });
    }

    void check_backward(const Layer &layer, const Matrix &before, bool with_adapter, const char *what) const {
        const Dropout dropout(lora.seed, lora.dropout, nullptr);
        check_rows(dx, what, [&](int64_t i, int64_t j) {
            double sum = before.at(i, j), of_adapter = 0;
            for (int64_t o = 0; o < out; o++) sum += double{dy.at(i, o)} * layer.dense.at(o, j);
            for (int64_t r = 0; with_adapter && r < rank; r++) {
                double du = 0;
                for (int64_t o = 0; o < out; o += 97) du += 0.5 * dy.at(i, o) * b.at(o, r);
                of_adapter += du * a.at(r, j);
            }
            return sum + of_adapter * (dropout.active() ? cuda::dropout_factor(dropout, i, j) : 1);
        });
    }
};

void check_launches(const Names &names, const Names &wanted, const char *what) {
    std::string text;
    for (const std::string &name : names) text += " " + name;
    check(names == wanted, "%s: launched were%s", what, text.c_str());
}

// The last of what a backward pass launches is dx.
Names last(const Names &names, size_t count) {
    return {names.end() - static_cast<Names::difference_type>(std::min(count, names.size())), names.end()};
}

Matrix zeros(const Matrix &like) {
    Matrix t(like.rows(), like.cols());
    t.integers(0, 0);
    return t;
}

// A dense layer with an adapter: the adapter's product, then the layer's. 2^28 multiplications are the fewest that it takes.
void test_dense() {
    Gpu gpu(0, "A100", 8 << 20);
    {
        const Layer layer(1032, 2048);
        Adapted t(130, 1032, 2048);
        const Names names =
            gpu.launches([&] { return ops->lora_apply(&gpu.stream, &t.tx, &layer.linear, &t.lora, &t.tu, &t.ty); });
        check_launches(names, {"lora_y", "cublas", "cublas"}, "lora_apply");
        t.check_forward(layer, true, false, "lora_apply");
    }
    {
        Layer layer(1032, 2048);
        Adapted t(130, 1032, 2048);
        layer.linear.bias = &t.tbias;
        const Names names =
            gpu.launches([&] { return ops->lora_apply(&gpu.stream, &t.tx, &layer.linear, &t.lora, &t.tu, &t.ty); });
        check_launches(names, {"lora_y", "cublas"}, "lora_apply with a bias");
        t.check_forward(layer, true, true, "lora_apply with a bias");
    }
    for (float dropout : {0.0f, 0.5f}) {
        const Layer layer(1032, 2048);
        Adapted t(130, 1032, 2048, dropout);
        const Matrix before = t.dx;
        const Names names = gpu.launches([&] {
            return ops->lora_backward(&gpu.stream, &t.tx, &t.tdy, &t.tu, &layer.linear, &t.lora, 1, &t.tda, &t.tdb,
                                      &t.tdx);
        });
        if (dropout > 0)
            check_launches(last(names, 2), {"lora_dx", "cublas"}, "lora_backward with dropout");
        else
            check_launches(last(names, 3), {"lora_dx", "cublas", "cublas"}, "lora_backward");
        t.check_backward(layer, before, true, "lora_backward of a dense layer");
    }
    // A workspace without room for the parts of the adapter.
    Gpu small(0, "A100", 1 << 16);
    const Layer layer(1032, 2048);
    Adapted t(130, 1032, 2048);
    const Names names =
        small.launches([&] { return ops->lora_apply(&small.stream, &t.tx, &layer.linear, &t.lora, &t.tu, &t.ty); });
    check_launches(names, {"lora_y", "cublas"}, "lora_apply in a small workspace");
    t.check_forward(layer, true, false, "lora_apply in a small workspace");
}

// dx of NF4 by panels of 256 columns, the last one of 64; forward in one panel, and in two of 256 and 56 rows.
void test_nf4() {
    constexpr int64_t tokens = 1024, out = 480, in = 576, panel = 256;
    Gpu gpu(1, "A100", panel * out * 2 + 255);  // an H100 with two multiprocessors
    for (const bool nested : {false, true}) {
        const Layer layer(gpu, out, in, nested ? 64 : 128, nested);
        Adapted t(tokens, out, in);
        const Names names =
            gpu.launches([&] { return ops->nf4_matmul_backward(&gpu.stream, &t.tdy, &layer.nf4, &t.tdx); });
        check_launches(names, {"nf4_dequantize", "cublas", "nf4_dequantize", "cublas", "nf4_dequantize", "cublas"},
                       "nf4_matmul_backward");
        t.check_backward(layer, zeros(t.dx), false, "nf4_matmul_backward");
    }
    constexpr int64_t features = 312, depth = 448;
    for (const bool whole : {true, false}) {
        Gpu forward(1, "A100", (whole ? features : panel) * depth * 2);
        const Layer layer(forward, features, depth, 64, true);
        Adapted t(2 * tokens, features, depth);
        const Names names =
            forward.launches([&] { return ops->nf4_matmul(&forward.stream, &t.tx, &layer.nf4, nullptr, &t.ty); });
        check_launches(
            names,
            whole ? Names{"nf4_dequantize", "cublas"} : Names{"nf4_dequantize", "cublas", "nf4_dequantize", "cublas"},
            "nf4_matmul");
        t.check_forward(layer, false, false, "nf4_matmul");
    }
}

// With an adapter: behind du in the workspace.
void test_nf4_adapter() {
    constexpr int64_t tokens = 1024, out = 480, in = 576;
    for (float dropout : {0.0f, 0.5f}) {
        Gpu gpu(1, "A100", 4 << 20);
        const Layer layer(gpu, out, in, 64, true);
        Adapted t(tokens, out, in, dropout);
        const Matrix before = t.dx;
        const Names names = gpu.launches([&] {
            return ops->lora_backward(&gpu.stream, &t.tx, &t.tdy, &t.tu, &layer.linear, &t.lora, dropout > 0, &t.tda,
                                      &t.tdb, &t.tdx);
        });
        if (dropout > 0)
            check_launches(last(names, 3), {"lora_dx", "nf4_dequantize", "cublas"}, "lora_backward with dropout");
        else
            check_launches(last(names, 4), {"lora_dx", "cublas", "nf4_dequantize", "cublas"}, "lora_backward");
        t.check_backward(layer, dropout > 0 ? before : zeros(t.dx), true, "lora_backward of NF4");
    }
}

// Whom it does not get: the kernels of our own, which other tests look after.
void test_limits() {
    constexpr int64_t tokens = 1024, out = 480, in = 576, all = out * in * 2;
    const Names ours = {"nf4_matmul_backward"};
    const auto backward = [](Gpu &gpu, int64_t m, int64_t block_size) {
        const Layer layer(gpu, out, in, block_size, false);
        Adapted t(m, out, in);
        return gpu.launches([&] { return ops->nf4_matmul_backward(&gpu.stream, &t.tdy, &layer.nf4, &t.tdx); }, false);
    };
    Gpu two(1, "A100", all), ampere(0, "A100", all), whole(0, "H100", all), half(0, "H100", all / 2),
        tight(1, "A100", 127 * out * 2);
    check_launches(backward(two, tokens, 64), {"nf4_dequantize", "cublas"}, "1024 tokens");
    check_launches(backward(two, tokens - 1, 64), ours, "1023 tokens");
    check_launches(backward(two, tokens, 32), ours, "blocks of 32");
    check_launches(backward(ampere, tokens, 64), ours, "an A100");
    check_launches(backward(whole, tokens, 64), {"nf4_dequantize", "cublas"}, "one panel on an H100");
    check_launches(backward(half, tokens, 64), ours, "panels that do not fill an H100");
    check_launches(backward(tight, tokens, 64), ours, "no room for 128 columns");

    const Layer layer(two, out, in, 64, false);
    Adapted t(2 * tokens, out, in), few(2 * tokens - 1, out, in);
    const auto forward = [&](Adapted &of, const nf4j_tensor *bias) {
        return two.launches([&] { return ops->nf4_matmul(&two.stream, &of.tx, &layer.nf4, bias, &of.ty); }, false);
    };
    check_launches(forward(t, nullptr), {"nf4_dequantize", "cublas"}, "2048 tokens forward");
    check_launches(forward(t, &t.tbias), {"nf4_matmul"}, "a bias");
    check_launches(forward(few, nullptr), {"nf4_matmul"}, "2047 tokens forward");
    const Names names =
        two.launches([&] { return ops->lora_apply(&two.stream, &t.tx, &layer.linear, &t.lora, &t.tu, &t.ty); }, false);
    check_launches(last(names, 1), {"lora_y"}, "an adapter forward");

    char text[1024];
    const auto explained = [&](int32_t operation, int64_t m, const char *wanted) {
        done(ops->explain(&two.stream, operation, m, out, in, NF4J_BF16, text, sizeof text));
        check(std::string(text).rfind(wanted, 0) == 0, "%lld tokens: %s", static_cast<long long>(m), text);
    };
    explained(NF4J_OP_NF4_MATMUL_BACKWARD, 1024,
              "cuBLAS for m = 1024 on weights dequantized for 576 columns of c at once, ");
    explained(NF4J_OP_LORA_BACKWARD, 1024, "cuBLAS for m = 1024 on weights dequantized for 576 columns of c at once, ");
    explained(NF4J_OP_NF4_MATMUL, 2048, "cuBLAS for m = 2048 on weights dequantized for 480 columns of c at once, ");
    explained(NF4J_OP_NF4_MATMUL_BACKWARD, 1023, "wgmma_bf16");
    explained(NF4J_OP_NF4_MATMUL, 2047, "wgmma_bf16");
    explained(NF4J_OP_LORA_FORWARD, 2048, "wgmma_bf16");
    unsetenv("NF4J_SIMT_CUBLAS");
    check_launches(backward(two, tokens, 64), ours, "no cuBLAS");
    setenv("NF4J_SIMT_CUBLAS", "1", 1);
}

}  // namespace

int main() {
    connect();
    static const CoreServices services = {sizeof(Backend), keep_report};
    ops = nf4j_backend_entry(&services);
    setenv("NF4J_SIMT_CUBLAS", "1", 1);
    test_dense();
    test_nf4();
    test_nf4_adapter();
    test_limits();
    return finish("simt product_cublas_test");
}
