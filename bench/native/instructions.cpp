// One call of each operation family with AVX2 on one thread, to be counted under callgrind: see bench/instructions.sh.
#include "nf4j.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s\n", nf4j_last_error());
    std::exit(1);
}

struct Matrix {
    std::vector<float> values;
    nf4j_tensor tensor;

    Matrix(int64_t rows, int64_t cols) : values(static_cast<size_t>(rows * cols)) {
        unsigned state = 1;  // a fixed sequence: counts must not depend on the run
        for (float &value : values) {
            state = state * 1664525 + 1013904223;
            value = static_cast<float>(state >> 8) / 8388608.0f - 1;
        }
        tensor = {values.data(), rows, cols, cols, NF4J_F32, 0};
    }

    operator const nf4j_tensor *() const { return &tensor; }
};

}  // namespace

int main() {
    const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, 1, NF4J_ISA_AVX2, 0};
    nf4j_device *device;
    nf4j_stream *stream;
    must(nf4j_device_open(&options, &device));
    must(nf4j_stream_create(device, nullptr, &stream));

    constexpr int64_t m = 64, n = 256, k = 192, rank = 16, heads = 4, head_dim = 64, vocabulary = 512;
    const Matrix x(m, k), y(m, n), dx(m, k), w(n, k), a(rank, k), b(n, rank), u(m, rank), da(rank, k), db(n, rank);
    nf4j_nf4_weight weight = {sizeof weight, 1, n, k, 64, nullptr, 0};
    must(nf4j_nf4_weight_bytes(device, n, k, 64, 1, &weight.bytes));
    must(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    must(nf4j_nf4_quantize(stream, w, &weight));
    must(nf4j_nf4_dequantize(stream, &weight, 0, w));
    must(nf4j_nf4_matmul(stream, x, &weight, nullptr, y));
    must(nf4j_nf4_matmul_backward(stream, y, &weight, dx));
    const nf4j_matmul_options product = {sizeof product, 0, 1, 1, 0, 0};
    must(nf4j_dense_matmul(stream, &product, x, w, nullptr, y));
    const nf4j_linear base = {sizeof base, 0, nullptr, &weight, nullptr};
    const nf4j_lora lora = {sizeof lora, 0, 32, 0, 0, a, b, nullptr};
    must(nf4j_lora_forward(stream, x, &base, &lora, u, y));
    const nf4j_lora *adapters[] = {&lora, &lora, &lora};
    const Matrix uk(m, rank), uv(m, rank);
    const nf4j_tensor *us[] = {u, uk, uv};
    must(nf4j_lora_project(stream, x, adapters, 3, us));
    must(nf4j_lora_apply(stream, x, &base, &lora, u, y));
    must(nf4j_lora_backward(stream, x, y, u, &base, &lora, 0, da, db, dx));

    const Matrix scale(1, k), rstd(1, m), dscale(1, k), gate(m, n), up(m, n);
    must(nf4j_norm_forward(stream, x, scale, 1e-5f, rstd, dx));
    must(nf4j_norm_backward(stream, dx, x, scale, rstd, 0, dscale, dx));
    must(nf4j_mlp_swiglu_forward(stream, gate, up, y));
    must(nf4j_mlp_swiglu_backward(stream, y, gate, up, gate, up));

    const Matrix q(m, heads * head_dim), key(m, heads * head_dim), v(m, heads * head_dim), lse(m, heads),
        out(m, heads * head_dim), dq(m, heads * head_dim), dk(m, heads * head_dim), dv(m, heads * head_dim),
        table(m, head_dim);
    const int32_t offsets[] = {0, static_cast<int32_t>(m)};
    const nf4j_attention_options attention = {sizeof attention, heads,   heads,  head_dim, 0.125f, 0, 1,
                                              offsets,          nullptr, nullptr};
    must(nf4j_rope_forward(stream, q, table, q));
    must(nf4j_attention_forward(stream, &attention, q, key, v, lse, out));
    must(nf4j_attention_backward(stream, &attention, q, key, v, lse, out, q, dq, dk, dv));

    std::vector<int32_t> ids(static_cast<size_t>(m), 3);
    const nf4j_tensor labels = {ids.data(), 1, m, m, NF4J_I32, 0};
    const Matrix head_weight(vocabulary, k), loss(1, m);
    const nf4j_linear head = {sizeof head, 0, head_weight, nullptr, nullptr};
    must(nf4j_embedding_forward(stream, &labels, head_weight, x));
    must(nf4j_loss_linear_cross_entropy(stream, x, &head, &labels, 1.0f / m, loss, dx));

    Matrix parameter(1, n * rank), gradient(1, n * rank), first(1, n * rank), second(1, n * rank);
    for (float &value : second.values) value = value * value;
    const nf4j_adamw_options adamw = {sizeof adamw, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1, nullptr};
    const nf4j_adamw_parameter state = {
        parameter.values.data(), gradient.values.data(), first.values.data(), second.values.data(), nullptr, n * rank};
    must(nf4j_optim_adamw(stream, &adamw, &state, 1, nullptr));

    must(nf4j_memory_free(device, weight.data));
    must(nf4j_stream_destroy(stream));
    must(nf4j_device_close(device));
    return 0;
}
