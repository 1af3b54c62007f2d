// The cpu backend's LoRA layers and linear cross-entropy against the reference backend, on every instruction set of
// this machine.
#include "weights.h"

#include <memory>

using namespace nf4j;
using namespace nf4j::test;

namespace {

const Device &reference() {
    static const Device device(NF4J_BACKEND_REFERENCE, NF4J_ISA_AUTO, 1, int64_t{256} << 20);
    return device;
}

// A frozen layer, dense or NF4, on two devices.
struct Layer {
    Matrix dense, bias;
    std::unique_ptr<Weight> nf4_here, nf4_there;
    nf4j_tensor dense_tensor, bias_tensor;

    Layer(const Device &here, const Device &there, int64_t out, int64_t in, int32_t dtype, bool quantized)
        : dense(out, in, quantized ? NF4J_F32 : dtype, quantized ? 0 : 5), bias(1, out, dtype) {
        dense.fill([](int64_t, int64_t) { return normal() * 0.2f; });
        bias.random();
        dense_tensor = dense.tensor();
        bias_tensor = bias.tensor();
        if (!quantized) return;
        nf4_here = std::make_unique<Weight>(here, out, in, 64, true);
        nf4_there = std::make_unique<Weight>(there, out, in, 64, true);
        nf4_here->quantize(dense);
        nf4_there->quantize(dense);
    }
    nf4j_linear linear(const Weight *nf4, bool biased) {
        nf4j_linear l = {};
        l.struct_size = sizeof l;
        l.dense = nf4 ? nullptr : &dense_tensor;
        l.nf4 = nf4 ? &nf4->c : nullptr;
        l.bias = biased ? &bias_tensor : nullptr;
        return l;
    }
};

struct LoraOutputs {
    Matrix u, y, da, db, dx;
};

struct LoraCase {
    int64_t tokens, out, in, rank;
    float dropout;
    bool quantized, stabilized, accumulate;
    int32_t dtype, adapter_dtype;

    std::string describe(const Device &device) const {
        char text[200];
        std::snprintf(text, sizeof text, "%s lora m=%lld out=%lld in=%lld r=%lld p=%g %s %s adapter %s%s%s",
                      device.name.c_str(), static_cast<long long>(tokens), static_cast<long long>(out),
                      static_cast<long long>(in), static_cast<long long>(rank), static_cast<double>(dropout),
                      quantized ? "NF4" : "dense", dtype_name(dtype), dtype_name(adapter_dtype),
                      stabilized ? " stabilized" : "", accumulate ? " accumulate" : "");
        return text;
    }
};

void run_lora(const Device &device, const LoraCase &c, const nf4j_linear &base, const nf4j_lora &lora, Matrix &x,
              Matrix &dy, LoraOutputs &o) {
    const nf4j_tensor tx = x.tensor(), tdy = dy.tensor(), tu = o.u.tensor(), ty = o.y.tensor(), tda = o.da.tensor(),
                      tdb = o.db.tensor(), tdx = o.dx.tensor();
    must(nf4j_lora_forward(device.stream, &tx, &base, &lora, &tu, &ty), "lora_forward");
    must(nf4j_lora_backward(device.stream, &tx, &tdy, &tu, &base, &lora, c.accumulate, &tda, &tdb, &tdx),
         "lora_backward");
}

// Runs one case on both devices and compares every output. Elements of all inputs are of order 1, so magnitudes are
// sums of |.| bounded by the number of terms times a generous constant.
void test_lora_case(const Device &cpu, const LoraCase &c) {
    Matrix x(c.tokens, c.in, c.dtype), dy(c.tokens, c.out, c.dtype);
    Matrix a(c.rank, c.in, c.adapter_dtype), b(c.out, c.rank, c.adapter_dtype);
    x.random(), dy.random(), a.random(), b.random();
    Layer layer(cpu, reference(), c.out, c.in, c.dtype, c.quantized);
    const bool biased = integer(0, 1);
    const nf4j_linear ours = layer.linear(layer.nf4_here.get(), biased),
                      theirs = layer.linear(layer.nf4_there.get(), biased);
    const nf4j_tensor ta = a.tensor(), tb = b.tensor();
    nf4j_lora lora = {};
    lora.struct_size = sizeof lora;
    lora.rank_stabilized = c.stabilized;
    lora.alpha = 12;
    lora.dropout = c.dropout;
    lora.seed = 0x123456789abcdefull + static_cast<uint64_t>(c.tokens);
    lora.a = &ta;
    lora.b = &tb;
    const double scale = 12 / (c.stabilized ? std::sqrt(static_cast<double>(c.rank)) : static_cast<double>(c.rank));

    LoraOutputs expected = {Matrix(c.tokens, c.rank), Matrix(c.tokens, c.out, c.dtype), Matrix(c.rank, c.in),
                            Matrix(c.out, c.rank), Matrix(c.tokens, c.in, c.dtype)};
    expected.da.random(), expected.db.random(), expected.dx.random();
    LoraOutputs actual = expected;
    run_lora(reference(), c, theirs, lora, x, dy, expected);
    run_lora(cpu, c, ours, lora, x, dy, actual);

    const double in = static_cast<double>(c.in), out = static_cast<double>(c.out),
                 tokens = static_cast<double>(c.tokens);
    const double u = 2 * in, du = 2 * scale * out, lora_y = scale * static_cast<double>(c.rank) * u;
    const auto constant = [](double value) { return [=](int64_t, int64_t) { return value; }; };
    const std::string what = c.describe(cpu);
    check_near(actual.u, expected.u, c.in, constant(u), what + ": u");
    check_near(actual.y, expected.y, c.in + c.rank, constant(in + lora_y), what + ": y");
    check_near(actual.da, expected.da, c.tokens, constant(tokens * du), what + ": da");
    check_near(actual.db, expected.db, c.tokens, constant(scale * tokens * u), what + ": db");
    check_near(actual.dx, expected.dx, c.out + c.rank, constant(out + static_cast<double>(c.rank) * du), what + ": dx");
}

void test_lora(const Device &cpu) {
    const LoraCase shapes[] = {{1, 33, 57, 1, 0, false, false, false, NF4J_F32, NF4J_F32},
                               {3, 64, 128, 8, 0, true, false, false, NF4J_F32, NF4J_F32},
                               {37, 90, 130, 16, 0.25f, true, true, false, NF4J_F32, NF4J_F32},
                               {50, 70, 33, 4, 0.5f, false, false, true, NF4J_F32, NF4J_BF16},
                               {150, 40, 65, 17, 0.1f, true, false, true, NF4J_F32, NF4J_F32},
                               {9, 100, 300, 64, 0, false, true, true, NF4J_F32, NF4J_F32}};
    for (LoraCase c : shapes) {
        test_lora_case(cpu, c);
        c.dtype = NF4J_BF16;
        test_lora_case(cpu, c);
        c.adapter_dtype = NF4J_BF16;
        test_lora_case(cpu, c);
    }
}

// du does not fit: said in bytes, and nothing written.
void test_small_workspace(int32_t isa) {
    const Device cpu(NF4J_BACKEND_CPU, isa, 1, 1024);
    const LoraCase c = {100, 16, 16, 8, 0, false, false, false, NF4J_F32, NF4J_F32};
    Matrix x(c.tokens, c.in), dy(c.tokens, c.out), a(c.rank, c.in), b(c.out, c.rank), u(c.tokens, c.rank),
        w(c.out, c.in);
    Matrix da(c.rank, c.in), db(c.out, c.rank), dx(c.tokens, c.in);
    const nf4j_tensor tx = x.random().tensor(), tdy = dy.random().tensor(), ta = a.random().tensor(),
                      tb = b.random().tensor(), tu = u.random().tensor(), tw = w.random().tensor(),
                      tda = da.random().tensor(), tdb = db.random().tensor(), tdx = dx.random().tensor();
    const Matrix da_before = da, db_before = db, dx_before = dx;
    nf4j_linear base = {};
    base.struct_size = sizeof base;
    base.dense = &tw;
    nf4j_lora lora = {};
    lora.struct_size = sizeof lora;
    lora.alpha = 1;
    lora.a = &ta;
    lora.b = &tb;
    const int32_t status = nf4j_lora_backward(cpu.stream, &tx, &tdy, &tu, &base, &lora, 0, &tda, &tdb, &tdx);
    check(status == NF4J_OUT_OF_MEMORY, "lora_backward in a small workspace gave %d", status);
    check(std::string(nf4j_last_error()).find("3200 bytes") != std::string::npos,
          "the text does not say 3200 bytes: %s", nf4j_last_error());
    check_same(da, da_before, "da after a failure");
    check_same(db, db_before, "db after a failure");
    check_same(dx, dx_before, "dx after a failure");
}

struct LossOutputs {
    Matrix loss, dhidden;
};

LossOutputs run_loss(const Device &device, Matrix &hidden, const nf4j_linear &head, Matrix &labels) {
    LossOutputs o = {Matrix(1, hidden.rows()), Matrix(hidden.rows(), hidden.cols(), hidden.dtype())};
    const nf4j_tensor th = hidden.tensor(), tl = labels.tensor(), tloss = o.loss.tensor(), tdh = o.dhidden.tensor();
    must(nf4j_loss_linear_cross_entropy(device.stream, &th, &head, &tl, 0.125f, &tloss, &tdh),
         "loss_linear_cross_entropy");
    Matrix loss_only(1, hidden.rows());
    const nf4j_tensor only = loss_only.tensor();
    must(nf4j_loss_linear_cross_entropy(device.stream, &th, &head, &tl, 0.125f, &only, nullptr),
         "loss_linear_cross_entropy");
    check_same(loss_only, o.loss, device.name + " loss without gradient");
    return o;
}

void test_loss(const Device &cpu, int32_t isa) {
    for (int64_t vocabulary : {2, 37, 1000}) {
        for (int32_t dtype : {NF4J_F32, NF4J_BF16}) {
            for (bool quantized : {false, true}) {
                const int64_t tokens = 70, n = 40;
                Matrix hidden(tokens, n, dtype), labels(1, tokens, NF4J_I32);
                hidden.random();
                labels.fill([&](int64_t, int64_t j) {
                    return j % 5 == 1 ? -100 : static_cast<float>(integer(0, vocabulary - 1));
                });
                Layer head(cpu, reference(), vocabulary, n, dtype, quantized);
                const nf4j_linear ours = head.linear(head.nf4_here.get(), true),
                                  theirs = head.linear(head.nf4_there.get(), true);
                const LossOutputs expected = run_loss(reference(), hidden, theirs, labels),
                                  actual = run_loss(cpu, hidden, ours, labels);
                const std::string what =
                    cpu.name + " loss over " + std::to_string(vocabulary) + " " + dtype_name(dtype);
                // Logits of order 10 carry errors of some units in 2^-24 times the terms; p and the loss see them as
                // absolute errors.
                const double logit_error = 40.0 * static_cast<double>(n);
                check_near(actual.loss, expected.loss, 1, [&](int64_t, int64_t) { return logit_error; }, what);
                check_near(
                    actual.dhidden, expected.dhidden, vocabulary,
                    [&](int64_t t, int64_t) { return labels.at(0, t) < 0 ? 0 : 0.125 * logit_error; },
                    what + " gradient");
                // A workspace for few tokens at a time changes nothing.
                const Device chunked(NF4J_BACKEND_CPU, isa, 3, 3 * (vocabulary * 4 + n * 4 + 200));
                std::unique_ptr<Weight> weight;
                if (quantized) {
                    weight = std::make_unique<Weight>(chunked, vocabulary, n, 64, true);
                    weight->quantize(head.dense);
                }
                const LossOutputs again = run_loss(chunked, hidden, head.linear(weight.get(), true), labels);
                check_same(again.loss, actual.loss, what + " in chunks");
                check_same(again.dhidden, actual.dhidden, what + " gradient in chunks");
            }
        }
    }
}

}  // namespace

int main() {
    int opened = 0;
    for (int32_t isa = NF4J_ISA_GENERIC; isa <= NF4J_ISA_NEON; isa++) {
        const Device cpu(NF4J_BACKEND_CPU, isa, 2);
        if (!cpu.open()) {
            std::printf("skipped: %s\n", nf4j_last_error());
            continue;
        }
        opened++;
        test_lora(cpu);
        test_small_workspace(isa);
        test_loss(cpu, isa);
    }
    check(opened > 0, "no instruction set could be opened");
    return finish("cpu_lora_test");
}
