// The operations that simt_run knows: each runs on a device, with the same numbers on every device, and returns its results.
#pragma once

#include "../simt/weights.h"

#include <cstring>

namespace nf4j::test {

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
inline Matrix matrix(int64_t rows, int64_t cols, int32_t dtype) {
    return Matrix(rows, cols, dtype, (8 - cols % 8) % 8);
}

inline Matrix random(int64_t rows, int64_t cols, int32_t dtype) {
    Matrix x = matrix(rows, cols, dtype);
    x.random();
    return x;
}

using Results = std::vector<Matrix>;

inline Results nf4(const Device &device, const Shape &s, bool forward) {
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

inline Results nf4_matmul(const Device &device, const Shape &s) { return nf4(device, s, true); }

inline Results nf4_matmul_backward(const Device &device, const Shape &s) { return nf4(device, s, false); }

inline Results dense_matmul(const Device &device, const Shape &s) {
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

inline Results lora(const Device &device, const Shape &s, bool forward) {
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

inline Results lora_forward(const Device &device, const Shape &s) { return lora(device, s, true); }

inline Results lora_backward(const Device &device, const Shape &s) { return lora(device, s, false); }

// Of three adapters, as q, k and v have them.
inline Results lora_project(const Device &device, const Shape &s) {
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

inline Results norm_forward(const Device &device, const Shape &s) {
    Matrix x = random(s.m, s.n, s.dtype), weight = random(1, s.n, s.dtype);
    Results out;
    out.push_back(matrix(1, s.m, NF4J_F32));
    out.push_back(matrix(s.m, s.n, s.dtype));
    const nf4j_tensor tx = x.tensor(), tw = weight.tensor(), trstd = out[0].tensor(), ty = out[1].tensor();
    const Counted counted;
    must(nf4j_norm_forward(device.stream, &tx, &tw, 1e-5f, &trstd, &ty), device.name.c_str());
    return out;
}

inline Results attention(const Device &device, const Shape &s, bool backward) {
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

inline Results attention_forward(const Device &device, const Shape &s) { return attention(device, s, false); }

inline Results attention_backward(const Device &device, const Shape &s) { return attention(device, s, true); }

inline Results norm_backward(const Device &device, const Shape &s) {
    Matrix dy = random(s.m, s.n, s.dtype), x = random(s.m, s.n, s.dtype), weight = random(1, s.n, s.dtype),
           rstd = random(1, s.m, NF4J_F32);
    Results out;
    out.push_back(matrix(1, s.n, NF4J_F32).fill([](int64_t, int64_t) { return 0; }));
    out.push_back(matrix(s.m, s.n, s.dtype));
    const nf4j_tensor tdy = dy.tensor(), tx = x.tensor(), tw = weight.tensor(), trstd = rstd.tensor(),
                      tdw = out[0].tensor(), tdx = out[1].tensor();
    const Counted counted;
    must(nf4j_norm_backward(device.stream, &tdy, &tx, &tw, &trstd, 0, &tdw, &tdx), device.name.c_str());
    return out;
}

inline Results nf4_quantize(const Device &device, const Shape &s) {
    Matrix w(s.n, s.k, s.dtype, 0);
    w.random();
    Weight weight(device, s.n, s.k, 64, true);
    {
        const Counted counted;
        weight.quantize(w);
    }
    Results out;
    out.push_back(weight.dequantized(NF4J_F32, 0, s.n));
    return out;
}

inline Results nf4_dequantize(const Device &device, const Shape &s) {
    Matrix w(s.n, s.k, NF4J_F32, 0);
    w.random();
    Weight weight(device, s.n, s.k, 64, true);
    weight.quantize(w);
    Results out;
    out.push_back(matrix(s.n, s.k, s.dtype));
    const nf4j_tensor tw = out[0].tensor();
    const Counted counted;
    must(nf4j_nf4_dequantize(device.stream, &weight.c, 0, &tw), device.name.c_str());
    return out;
}

inline Results rope_forward(const Device &device, const Shape &s) {
    Matrix x = random(s.m, s.n, s.dtype), table = random(s.m, s.k, NF4J_F32);
    Results out;
    out.push_back(matrix(s.m, s.n, s.dtype));
    const nf4j_tensor tx = x.tensor(), ttable = table.tensor(), ty = out[0].tensor();
    const Counted counted;
    must(nf4j_rope_forward(device.stream, &tx, &ttable, &ty), device.name.c_str());
    return out;
}

inline Results mlp_swiglu_forward(const Device &device, const Shape &s) {
    Matrix gate = random(s.m, s.n, s.dtype), up = random(s.m, s.n, s.dtype);
    Results out;
    out.push_back(matrix(s.m, s.n, s.dtype));
    const nf4j_tensor tgate = gate.tensor(), tup = up.tensor(), th = out[0].tensor();
    const Counted counted;
    must(nf4j_mlp_swiglu_forward(device.stream, &tgate, &tup, &th), device.name.c_str());
    return out;
}

// Tokens, among whose ids some come again.
inline Results embedding_backward(const Device &device, const Shape &s) {
    Matrix ids(1, s.m, NF4J_I32, 0), dy = random(s.m, s.n, s.dtype);
    ids.integers(0, s.k - 1);
    Results out;
    out.push_back(matrix(s.k, s.n, NF4J_F32).fill([](int64_t, int64_t) { return 0; }));
    const nf4j_tensor tids = ids.tensor(), tdy = dy.tensor(), tdtable = out[0].tensor();
    const Counted counted;
    must(nf4j_embedding_backward(device.stream, &tids, &tdy, &tdtable), device.name.c_str());
    return out;
}

inline Results loss_linear_cross_entropy(const Device &device, const Shape &s) {
    Matrix hidden = random(s.m, s.k, s.dtype), head = random(s.n, s.k, s.dtype), labels(1, s.m, NF4J_I32, 0);
    labels.integers(0, s.n - 1);
    Results out;
    out.push_back(matrix(1, s.m, NF4J_F32));
    out.push_back(matrix(s.m, s.k, s.dtype));
    const nf4j_tensor thidden = hidden.tensor(), thead = head.tensor(), tlabels = labels.tensor(),
                      tloss = out[0].tensor(), tdhidden = out[1].tensor();
    nf4j_linear layer = {};
    layer.struct_size = sizeof layer;
    layer.dense = &thead;
    const Counted counted;
    must(nf4j_loss_linear_cross_entropy(device.stream, &thidden, &layer, &tlabels, 1, &tloss, &tdhidden),
         device.name.c_str());
    return out;
}

inline Results optim_adamw(const Device &device, const Shape &s) {
    Results out;  // param, m, v of each parameter
    std::vector<Matrix> gradients;
    for (int64_t i = 0; i < s.m; i++) {
        gradients.push_back(random(1, s.n, NF4J_F32));
        out.push_back(random(1, s.n, NF4J_F32));
        for (int state = 0; state < 2; state++)
            out.push_back(random(1, s.n, NF4J_F32).fill([](int64_t, int64_t) { return std::fabs(normal()); }));
    }
    std::vector<nf4j_adamw_parameter> parameters;
    for (size_t i = 0; i < gradients.size(); i++) {
        Matrix *of = &out[3 * i];
        parameters.push_back({reinterpret_cast<float *>(of[0].row(0)), reinterpret_cast<float *>(gradients[i].row(0)),
                              of[1].row(0), of[2].row(0), nullptr, s.n});
    }
    const nf4j_adamw_options options = {sizeof options, 0.1f, 0.9f, 0.999f, 1e-8f, 0.01f, 3, nullptr};
    const Counted counted;
    must(nf4j_optim_adamw(device.stream, &options, parameters.data(), s.m, nullptr), device.name.c_str());
    return out;
}

inline Results memory_add(const Device &device, const Shape &s) {
    Matrix a = random(s.m, s.n, s.dtype), b = random(s.m, s.n, s.dtype);
    Results out;
    out.push_back(matrix(s.m, s.n, s.dtype));
    const nf4j_tensor ta = a.tensor(), tb = b.tensor(), ty = out[0].tensor();
    const Counted counted;
    must(nf4j_memory_add(device.stream, &ta, &tb, &ty), device.name.c_str());
    return out;
}

// With what M, N and K are to it.
constexpr struct Operation {
    const char *name;
    const char *shape;
    int32_t id;
    Results (*run)(const Device &, const Shape &);
} operations[] = {
    {"nf4_quantize", "-, out, in", NF4J_OP_NF4_QUANTIZE, nf4_quantize},
    {"nf4_dequantize", "-, out, in", NF4J_OP_NF4_DEQUANTIZE, nf4_dequantize},
    {"nf4_matmul", "tokens, out, in", NF4J_OP_NF4_MATMUL, nf4_matmul},
    {"nf4_matmul_backward", "tokens, out, in", NF4J_OP_NF4_MATMUL_BACKWARD, nf4_matmul_backward},
    {"dense_matmul", "tokens, out, in", NF4J_OP_DENSE_MATMUL, dense_matmul},
    {"lora_forward", "tokens, out, in", NF4J_OP_LORA_FORWARD, lora_forward},
    {"lora_project", "tokens, -, in", NF4J_OP_LORA_FORWARD, lora_project},
    {"lora_backward", "tokens, out, in", NF4J_OP_LORA_BACKWARD, lora_backward},
    {"norm_forward", "tokens, columns, -", NF4J_OP_NORM, norm_forward},
    {"norm_backward", "tokens, columns, -", NF4J_OP_NORM, norm_backward},
    {"rope_forward", "tokens, columns, columns of a head", NF4J_OP_ROPE, rope_forward},
    {"attention_forward", "tokens, heads, columns of a head", NF4J_OP_ATTENTION, attention_forward},
    {"attention_backward", "tokens, heads, columns of a head", NF4J_OP_ATTENTION, attention_backward},
    {"mlp_swiglu_forward", "tokens, columns, -", NF4J_OP_MLP, mlp_swiglu_forward},
    {"embedding_backward", "tokens, columns, rows of the table", NF4J_OP_EMBEDDING, embedding_backward},
    {"loss_linear_cross_entropy", "tokens, vocabulary, in", NF4J_OP_LOSS, loss_linear_cross_entropy},
    {"optim_adamw", "parameters, elements of each, -", NF4J_OP_OPTIM, optim_adamw},
    {"memory_add", "rows, columns, -", NF4J_OP_MEMORY, memory_add},
};

}  // namespace nf4j::test
