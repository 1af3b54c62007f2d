// Every backward of the reference backend against differences of its forward, in F32.
//
// With L = sum(dy * y), the gradient of L at x_i is what backward has to return for dy. It is measured with the
// five-point stencil D(h) = (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h, h = 2^-5:
// - y is rounded to F32, which moves D by at most 18 / 12h * 2^-24 * sum |dy y| over the y that x_i reaches;
// - the stencil's own error falls with h^4, so |D(h) - D(2h)| / 15 estimates it, and twice that bounds it.
// The tolerance is twice the sum of both. That it is tight enough to tell a wrong formula is checked too: it must be
// below 1 % of the largest gradient.
#include "nf4j.h"
#include "test.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace {

nf4j_device *device;
nf4j_stream *stream;
std::mt19937 generator(20260117);

// A matrix and its tensor.
struct Matrix {
    std::vector<float> values;
    nf4j_tensor tensor;

    Matrix(int64_t rows, int64_t cols, float value = 0)
        : values(static_cast<size_t>(rows * cols), value), tensor{values.data(), rows, cols, cols, NF4J_F32, 0} {}
    Matrix(const Matrix &) = delete;

    operator const nf4j_tensor *() const { return &tensor; }
};

struct Random : Matrix {
    Random(int64_t rows, int64_t cols, float scale = 1) : Matrix(rows, cols) {
        std::normal_distribution<float> normal;
        for (float &value : values) value = scale * normal(generator);
    }
};

struct Integers {
    std::vector<int32_t> values;
    nf4j_tensor tensor;

    explicit Integers(std::vector<int32_t> list)
        : values(std::move(list)),
          tensor{values.data(), 1, static_cast<int64_t>(values.size()), static_cast<int64_t>(values.size()),
                 NF4J_I32,      0} {}

    operator const nf4j_tensor *() const { return &tensor; }
};

// Checks that `gradient` is the gradient of sum(dy * y) at x, where forward computes y from x.
void check_gradient(const char *name, Matrix &x, const std::function<void()> &forward, const Matrix &y,
                    const Matrix &dy, const Matrix &gradient) {
    const double h = 0x1p-5;
    const size_t n = y.values.size();
    double largest_gradient = 0, largest_tolerance = 0;
    for (size_t i = 0; i < x.values.size(); i++) {
        const float center = x.values[i];
        const auto outputs_at = [&](double step) {
            x.values[i] = static_cast<float>(center + step);
            forward();
            x.values[i] = center;
            return y.values;
        };
        // y at -4h, -2h, -h, h, 2h, 4h.
        std::vector<float> at[6];
        const double steps[6] = {-4 * h, -2 * h, -h, h, 2 * h, 4 * h};
        double actual[6];  // the steps as F32 took them
        for (int s = 0; s < 6; s++) {
            actual[s] = static_cast<double>(static_cast<float>(center + steps[s])) - center;
            at[s] = outputs_at(steps[s]);
        }
        double fine = 0, coarse = 0, reached = 0;
        for (size_t j = 0; j < n; j++) {
            if (at[0][j] == at[5][j] && at[2][j] == at[3][j]) continue;
            const auto slope = [&](int below, int above) {
                return (static_cast<double>(at[above][j]) - at[below][j]) / (actual[above] - actual[below]);
            };
            fine += dy.values[j] * (4 * slope(2, 3) - slope(1, 4)) / 3;
            coarse += dy.values[j] * (4 * slope(1, 4) - slope(0, 5)) / 3;
            reached += std::fabs(static_cast<double>(dy.values[j]) * at[3][j]);
        }
        const double tolerance = 2 * (18 / (12 * h) * 0x1p-24 * reached + 2 * std::fabs(fine - coarse) / 15);
        const double error = std::fabs(gradient.values[i] - fine);
        CHECK(error <= tolerance, "%s: gradient %zu is %g, differences say %g (error %g, tolerance %g)", name, i,
              static_cast<double>(gradient.values[i]), fine, error, tolerance);
        largest_gradient = std::max(largest_gradient, std::fabs(fine));
        largest_tolerance = std::max(largest_tolerance, tolerance);
    }
    CHECK(largest_tolerance < 0.01 * largest_gradient, "%s: tolerance %g for gradients up to %g shows nothing", name,
          largest_tolerance, largest_gradient);
}

void subtract(Matrix &from, float value) {
    for (float &element : from.values) element -= value;
}

struct Nf4 {
    nf4j_nf4_weight weight = {};

    Nf4(const Matrix &w, int32_t double_quant) {
        weight.struct_size = sizeof weight;
        weight.double_quant = double_quant;
        weight.rows = w.tensor.rows;
        weight.cols = w.tensor.cols;
        weight.block_size = 64;
        CHECK_OK(nf4j_nf4_weight_bytes(device, weight.rows, weight.cols, 64, double_quant, &weight.bytes));
        CHECK_OK(nf4j_memory_alloc(device, weight.bytes, &weight.data));
        CHECK_OK(nf4j_nf4_quantize(stream, w, &weight));
    }
    Nf4(const Nf4 &) = delete;
    ~Nf4() { nf4j_memory_free(device, weight.data); }
};

void test_nf4_matmul() {
    Random w(7, 90), x(3, 90), dy(3, 7);
    Matrix y(3, 7), dx(3, 90);
    const Nf4 nf4(w, 1);
    CHECK_OK(nf4j_nf4_matmul_backward(stream, dy, &nf4.weight, dx));
    check_gradient(
        "nf4_matmul x", x, [&] { CHECK_OK(nf4j_nf4_matmul(stream, x, &nf4.weight, nullptr, y)); }, y, dy, dx);
}

void test_lora(bool quantized, float dropout, bool rank_stabilized) {
    const int64_t m = 4, in = 24, out = 10, rank = 3;
    Random w(out, in), bias(1, out), x(m, in), a(rank, in, 0.5f), b(out, rank, 0.5f), dy(m, out);
    Matrix u(m, rank), y(m, out), da(rank, in, 1), db(out, rank, 1), dx(m, in, 1), alone(m, in);
    const Nf4 nf4(w, 0);
    nf4j_linear base = {};
    base.struct_size = sizeof base;
    base.bias = bias;
    if (quantized) {
        base.nf4 = &nf4.weight;
    } else {
        base.dense = w;
    }
    nf4j_lora lora = {};
    lora.struct_size = sizeof lora;
    lora.rank_stabilized = rank_stabilized;
    lora.alpha = 6;
    lora.dropout = dropout;
    lora.seed = 77;
    lora.a = a;
    lora.b = b;
    const auto forward = [&] { CHECK_OK(nf4j_lora_forward(stream, x, &base, &lora, u, y)); };
    forward();
    CHECK_OK(nf4j_lora_backward(stream, x, dy, u, &base, &lora, 1, da, db, dx));
    subtract(da, 1);  // all three are added to
    subtract(db, 1);
    subtract(dx, 1);
    check_gradient("lora a", a, forward, y, dy, da);
    check_gradient("lora b", b, forward, y, dy, db);
    check_gradient("lora x", x, forward, y, dy, dx);

    CHECK_OK(nf4j_lora_backward(stream, x, dy, u, &base, &lora, 0, da, db, alone));
    for (size_t i = 0; i < dx.values.size(); i++) {
        CHECK(std::fabs(alone.values[i] - dx.values[i]) < 1e-5, "dx %zu is %g alone and %g added", i,
              static_cast<double>(alone.values[i]), static_cast<double>(dx.values[i]));
    }
}

// The mask follows from (seed, row, column) alone, keeps about 1 - p of the elements and scales them by 1 / (1 - p).
void test_dropout() {
    const int64_t m = 64, in = 250;
    const float p = 0.3f;
    Matrix w(1, in), x(m, in, 1), a(1, in), b(1, 1), u(m, 1), y(m, 1);
    nf4j_linear base = {};
    base.struct_size = sizeof base;
    base.dense = w;
    nf4j_lora lora = {};
    lora.struct_size = sizeof lora;
    lora.alpha = 1;
    lora.dropout = p;
    lora.seed = 5;
    lora.a = a;
    lora.b = b;
    int64_t kept = 0;
    for (int64_t j = 0; j < in; j++) {
        a.values[static_cast<size_t>(j)] = 1;
        CHECK_OK(nf4j_lora_forward(stream, x, &base, &lora, u, y));
        a.values[static_cast<size_t>(j)] = 0;
        for (float value : u.values) {
            CHECK(value == 0 || value == 1 / (1 - p), "element kept with factor %g", static_cast<double>(value));
            kept += value != 0;
        }
    }
    const double elements = static_cast<double>(m * in);
    const double sigma = std::sqrt(elements * p * (1 - p));
    CHECK(std::fabs(static_cast<double>(kept) - elements * (1 - p)) < 5 * sigma, "%lld of %g elements kept",
          static_cast<long long>(kept), elements);
}

void test_norm() {
    Random x(3, 17), weight(1, 17), dy(3, 17);
    Matrix rstd(1, 3), y(3, 17), dx(3, 17, 1), dweight(1, 17, 1);
    const auto forward = [&] { CHECK_OK(nf4j_norm_forward(stream, x, weight, 1e-3f, rstd, y)); };
    forward();
    CHECK_OK(nf4j_norm_backward(stream, dy, x, weight, rstd, 1, dweight, dx));
    subtract(dx, 1);
    subtract(dweight, 1);
    check_gradient("norm x", x, forward, y, dy, dx);
    check_gradient("norm weight", weight, forward, y, dy, dweight);
}

void test_rope() {
    Random x(4, 24), dy(4, 24);
    Matrix table(4, 8), y(4, 24), dx(4, 24), inv_freq(1, 4);
    inv_freq.values = {1, 0.3f, 0.1f, 0.03f};
    const Integers positions({0, 1, 5, 1000});
    CHECK_OK(nf4j_rope_table(stream, positions, inv_freq, 1.25f, table));
    CHECK_OK(nf4j_rope_backward(stream, dy, table, dx));
    check_gradient("rope", x, [&] { CHECK_OK(nf4j_rope_forward(stream, x, table, y)); }, y, dy, dx);
}

void test_attention(int32_t heads, int32_t kv_heads, int32_t window, std::vector<int32_t> offsets) {
    const int32_t head_dim = 5;
    const int64_t m = offsets.back();
    Random q(m, heads * head_dim), k(m, kv_heads * head_dim), v(m, kv_heads * head_dim), dout(m, heads * head_dim);
    Matrix out(m, heads * head_dim), lse(m, heads);
    Matrix dq(m, heads * head_dim, NAN), dk(m, kv_heads * head_dim, NAN), dv(m, kv_heads * head_dim, NAN);
    nf4j_attention_options options = {};
    options.struct_size = sizeof options;
    options.heads = heads;
    options.kv_heads = kv_heads;
    options.head_dim = head_dim;
    options.scale = 0.45f;
    options.window = window;
    options.sequences = static_cast<int64_t>(offsets.size()) - 1;
    options.q_offsets = offsets.data();
    const auto forward = [&] { CHECK_OK(nf4j_attention_forward(stream, &options, q, k, v, lse, out)); };
    forward();
    CHECK_OK(nf4j_attention_backward(stream, &options, q, k, v, lse, out, dout, dq, dk, dv));
    check_gradient("attention q", q, forward, out, dout, dq);
    check_gradient("attention k", k, forward, out, dout, dk);
    check_gradient("attention v", v, forward, out, dout, dv);
}

void test_swiglu() {
    Random gate(3, 11, 2), up(3, 11), dh(3, 11);
    Matrix h(3, 11), dgate(3, 11), dup(3, 11);
    const auto forward = [&] { CHECK_OK(nf4j_mlp_swiglu_forward(stream, gate, up, h)); };
    CHECK_OK(nf4j_mlp_swiglu_backward(stream, dh, gate, up, dgate, dup));
    check_gradient("swiglu gate", gate, forward, h, dh, dgate);
    check_gradient("swiglu up", up, forward, h, dh, dup);
}

void test_embedding() {
    Random table(6, 5), dy(4, 5);
    Matrix y(4, 5), dtable(6, 5, 1);
    const Integers ids({3, 0, 3, 5});
    CHECK_OK(nf4j_embedding_backward(stream, ids, dy, dtable));
    subtract(dtable, 1);
    check_gradient("embedding", table, [&] { CHECK_OK(nf4j_embedding_forward(stream, ids, table, y)); }, y, dy, dtable);
}

// More tokens than one chunk, some of them masked.
void test_loss(bool quantized) {
    const int64_t m = 39, n = 6, vocabulary = 23;
    const float scale = 0.125f;
    Random hidden(m, n), head(vocabulary, n), bias(1, vocabulary);
    Matrix loss(1, m, NAN), dhidden(m, n, NAN), dloss(1, m, scale);
    std::vector<int32_t> labels;
    for (int32_t t = 0; t < m; t++) labels.push_back(t % 5 == 2 ? -100 : t * 7 % static_cast<int32_t>(vocabulary));
    const Integers targets(labels);
    const Nf4 nf4(head, 0);
    nf4j_linear output = {};
    output.struct_size = sizeof output;
    output.bias = bias;
    if (quantized) {
        output.nf4 = &nf4.weight;
    } else {
        output.dense = head;
    }
    CHECK_OK(nf4j_loss_linear_cross_entropy(stream, hidden, &output, targets, scale, loss, dhidden));
    for (int64_t t = 2; t < m; t += 5)
        CHECK(loss.values[static_cast<size_t>(t)] == 0, "masked token %d has a loss", int(t));
    const auto forward = [&] {
        CHECK_OK(nf4j_loss_linear_cross_entropy(stream, hidden, &output, targets, scale, loss, nullptr));
    };
    check_gradient("loss hidden", hidden, forward, loss, dloss, dhidden);
}

}  // namespace

int main() {
    nf4j_device_options options = {};
    options.struct_size = sizeof options;
    options.backend = NF4J_BACKEND_REFERENCE;
    CHECK_OK(nf4j_device_open(&options, &device));
    CHECK_OK(nf4j_stream_create(device, nullptr, &stream));
    test_nf4_matmul();
    test_lora(false, 0, false);
    test_lora(true, 0, true);
    test_lora(true, 0.4f, false);
    test_dropout();
    test_norm();
    test_rope();
    test_attention(2, 2, 0, {0, 6});
    test_attention(4, 2, 3, {0, 1, 8});
    test_attention(3, 1, 0, {0, 4, 4, 7});
    test_swiglu();
    test_embedding();
    test_loss(false);
    test_loss(true);
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    return test_result("gradient_test");
}
