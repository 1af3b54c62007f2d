// Runs one operation of the CUDA kernels on simt, on a shape of the caller's, and says what its launches did:
//
//   make simt-run OP=nf4_matmul M=64 N=256 K=512 [DTYPE=bf16|f32] [SCHEDULE=7]
//
// Prints nf4j_explain, each launch with its counters (simt/counters.h), and how far the results are from the reference
// backend's. Ends with 1 when they are wrong, or when simt reports a mistake. The shape is tokens, out, in; for
// attention, M tokens, N heads of K elements.
#include "../simt/weights.h"

#include <cstring>

using namespace nf4j;
using namespace nf4j::test;

namespace {

struct Shape {
    int64_t m, n, k;
    int32_t dtype;
};

// Launches are counted while one lives; preparations are not.
class Counted {
public:
    Counted() { setenv("NF4J_SIMT_COUNT", "1", 1); }
    ~Counted() { unsetenv("NF4J_SIMT_COUNT"); }
    Counted(const Counted &) = delete;
    Counted &operator=(const Counted &) = delete;
};

// With rows that are 16-byte aligned, as a model's are.
Matrix matrix(int64_t rows, int64_t cols, int32_t dtype) { return Matrix(rows, cols, dtype, (8 - cols % 8) % 8); }

Matrix random(int64_t rows, int64_t cols, int32_t dtype) {
    Matrix x = matrix(rows, cols, dtype);
    x.random();
    return x;
}

// Each of these runs an operation on a device, with the same numbers on every device, and returns its results.
using Results = std::vector<Matrix>;

Results nf4(const Device &device, const Shape &s, bool forward) {
    Matrix x = random(s.m, forward ? s.k : s.n, s.dtype), w(s.n, s.k, NF4J_F32, 0);
    w.random();
    Weight weight(device, s.n, s.k, 64, true);
    weight.quantize(w);
    Results y;
    y.push_back(matrix(s.m, forward ? s.n : s.k, s.dtype));
    const nf4j_tensor tx = x.tensor(), ty = y[0].tensor();
    const Counted counted;
    must(forward ? nf4j_nf4_matmul(device.stream, &tx, &weight.c, nullptr, &ty)
                 : nf4j_nf4_matmul_backward(device.stream, &tx, &weight.c, &ty),
         device.name.c_str());
    return y;
}

Results nf4_matmul(const Device &device, const Shape &s) { return nf4(device, s, true); }

Results nf4_matmul_backward(const Device &device, const Shape &s) { return nf4(device, s, false); }

Results dense_matmul(const Device &device, const Shape &s) {
    Matrix x = random(s.m, s.k, s.dtype), w = random(s.n, s.k, s.dtype);
    Results y;
    y.push_back(matrix(s.m, s.n, s.dtype));
    nf4j_matmul_options options = {};
    options.struct_size = sizeof options;
    options.transpose_b = 1;
    options.alpha = 1;
    const nf4j_tensor tx = x.tensor(), tw = w.tensor(), ty = y[0].tensor();
    const Counted counted;
    must(nf4j_dense_matmul(device.stream, &options, &tx, &tw, nullptr, &ty), device.name.c_str());
    return y;
}

Results lora(const Device &device, const Shape &s, bool forward) {
    constexpr int64_t rank = 16;
    Matrix x = random(s.m, s.k, s.dtype), dy = random(s.m, s.n, s.dtype), w(s.n, s.k, NF4J_F32, 0),
           a = random(rank, s.k, NF4J_F32), b = random(s.n, rank, NF4J_F32), u = random(s.m, rank, NF4J_F32);
    w.random();
    Weight weight(device, s.n, s.k, 64, true);
    weight.quantize(w);
    Results out;
    if (forward) {
        out.push_back(matrix(s.m, rank, NF4J_F32));
        out.push_back(matrix(s.m, s.n, s.dtype));
    } else {
        out.push_back(matrix(rank, s.k, NF4J_F32).fill([](int64_t, int64_t) { return 0; }));
        out.push_back(matrix(s.n, rank, NF4J_F32).fill([](int64_t, int64_t) { return 0; }));
        out.push_back(matrix(s.m, s.k, s.dtype));
    }
    const nf4j_tensor tx = x.tensor(), tdy = dy.tensor(), ta = a.tensor(), tb = b.tensor(), tu = u.tensor();
    nf4j_linear base = {};
    base.struct_size = sizeof base;
    base.nf4 = &weight.c;
    nf4j_lora adapter = {};
    adapter.struct_size = sizeof adapter;
    adapter.alpha = 2 * rank;
    adapter.a = &ta;
    adapter.b = &tb;
    std::vector<nf4j_tensor> t;
    for (Matrix &matrix : out) t.push_back(matrix.tensor());
    const Counted counted;
    must(forward ? nf4j_lora_forward(device.stream, &tx, &base, &adapter, &t[0], &t[1])
                 : nf4j_lora_backward(device.stream, &tx, &tdy, &tu, &base, &adapter, 0, &t[0], &t[1], &t[2]),
         device.name.c_str());
    return out;
}

Results lora_forward(const Device &device, const Shape &s) { return lora(device, s, true); }

Results lora_backward(const Device &device, const Shape &s) { return lora(device, s, false); }

// Of three adapters, as q, k and v have them.
Results lora_project(const Device &device, const Shape &s) {
    constexpr int64_t rank = 16, adapters = 3;
    Matrix x = random(s.m, s.k, s.dtype);
    Results a, out;
    nf4j_tensor ta[adapters], tu[adapters];
    nf4j_lora loras[adapters] = {};
    const nf4j_lora *list[adapters];
    const nf4j_tensor *us[adapters];
    for (int64_t i = 0; i < adapters; i++) {
        a.push_back(random(rank, s.k, NF4J_F32));
        out.push_back(matrix(s.m, rank, NF4J_F32));
    }
    for (size_t i = 0; i < adapters; i++) {
        ta[i] = a[i].tensor();
        tu[i] = out[i].tensor();
        loras[i].struct_size = sizeof loras[i];
        loras[i].a = &ta[i];
        list[i] = &loras[i];
        us[i] = &tu[i];
    }
    const nf4j_tensor tx = x.tensor();
    const Counted counted;
    must(nf4j_lora_project(device.stream, &tx, list, adapters, us), device.name.c_str());
    return out;
}

Results norm_forward(const Device &device, const Shape &s) {
    Matrix x = random(s.m, s.n, s.dtype), weight = random(1, s.n, s.dtype);
    Results out;
    out.push_back(matrix(1, s.m, NF4J_F32));
    out.push_back(matrix(s.m, s.n, s.dtype));
    const nf4j_tensor tx = x.tensor(), tw = weight.tensor(), trstd = out[0].tensor(), ty = out[1].tensor();
    const Counted counted;
    must(nf4j_norm_forward(device.stream, &tx, &tw, 1e-5f, &trstd, &ty), device.name.c_str());
    return out;
}

Results attention(const Device &device, const Shape &s, bool backward) {
    const int64_t cols = s.n * s.k;
    Matrix q = random(s.m, cols, s.dtype), k = random(s.m, cols, s.dtype), v = random(s.m, cols, s.dtype),
           dout = random(s.m, cols, s.dtype);
    const int32_t offsets[] = {0, static_cast<int32_t>(s.m)};
    nf4j_attention_options options = {};
    options.struct_size = sizeof options;
    options.heads = options.kv_heads = static_cast<int32_t>(s.n);
    options.head_dim = static_cast<int32_t>(s.k);
    options.scale = 1 / std::sqrt(static_cast<float>(s.k));
    options.sequences = 1;
    options.q_offsets = offsets;
    Results out;
    out.push_back(matrix(s.m, s.n, NF4J_F32));
    for (int i = 0; i < (backward ? 4 : 1); i++) out.push_back(matrix(s.m, cols, s.dtype));
    std::vector<nf4j_tensor> t;
    for (Matrix &matrix : out) t.push_back(matrix.tensor());
    const nf4j_tensor tq = q.tensor(), tk = k.tensor(), tv = v.tensor(), tdout = dout.tensor();
    const auto forward = [&] {
        must(nf4j_attention_forward(device.stream, &options, &tq, &tk, &tv, &t[0], &t[1]), device.name.c_str());
    };
    if (backward) forward();
    const Counted counted;
    if (!backward) {
        forward();
    } else {
        must(nf4j_attention_backward(device.stream, &options, &tq, &tk, &tv, &t[0], &t[1], &tdout, &t[2], &t[3], &t[4]),
             device.name.c_str());
    }
    return out;
}

Results attention_forward(const Device &device, const Shape &s) { return attention(device, s, false); }

Results attention_backward(const Device &device, const Shape &s) { return attention(device, s, true); }

constexpr struct Operation {
    const char *name;
    int32_t id;
    Results (*run)(const Device &, const Shape &);
} operations[] = {
    {"nf4_matmul", NF4J_OP_NF4_MATMUL, nf4_matmul},
    {"nf4_matmul_backward", NF4J_OP_NF4_MATMUL_BACKWARD, nf4_matmul_backward},
    {"dense_matmul", NF4J_OP_DENSE_MATMUL, dense_matmul},
    {"lora_forward", NF4J_OP_LORA_FORWARD, lora_forward},
    {"lora_project", NF4J_OP_LORA_FORWARD, lora_project},
    {"lora_backward", NF4J_OP_LORA_BACKWARD, lora_backward},
    {"norm_forward", NF4J_OP_NORM, norm_forward},
    {"attention_forward", NF4J_OP_ATTENTION, attention_forward},
    {"attention_backward", NF4J_OP_ATTENTION, attention_backward},
};

int usage() {
    std::fputs("usage: make simt-run OP=... M=... N=... K=... [DTYPE=bf16|f32] [SCHEDULE=number], where OP is one of\n",
               stderr);
    for (const Operation &operation : operations) std::fprintf(stderr, "  %s\n", operation.name);
    return 2;
}

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
    const Shape s = {std::atoll(arguments[2]), std::atoll(arguments[3]), std::atoll(arguments[4]),
                     f32 ? NF4J_F32 : NF4J_BF16};
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
