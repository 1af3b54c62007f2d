#include "kernel_cases.h"

#include <cmath>

namespace kernel {
namespace {

// Captures what the buffers of an operation are, and calls it on those of a slot.
struct Prepared : Case {
    using Case::Case;

    bool linear(const std::string &op, int64_t m, int64_t n, int64_t k, int64_t rank) {
        const bool nf4 = op.substr(0, 3) == "nf4" || op.substr(op.size() - 3) == "nf4";
        const auto packed = nf4 ? quantized(n, k) : std::vector<nf4j_nf4_weight>();
        const Tensors dense = nf4 ? Tensors() : random(n, k);
        if (op == "nf4.quantize") {
            const Tensors w = random(n, k);
            calls([=](nf4j_stream *s, size_t i) {
                nf4j_nf4_weight target = packed[i];
                return nf4j_nf4_quantize(s, &w[i], &target);
            });
        } else if (op == "nf4.dequantize") {
            const Tensors out = zeros(type(), n, k);
            calls([=](nf4j_stream *s, size_t i) { return nf4j_nf4_dequantize(s, &packed[i], 0, &out[i]); });
        } else if (op == "nf4.import" || op == "nf4.export") {
            const std::vector<nf4j_nf4_state> states = exported(packed, n, k);
            if (op == "nf4.import") {
                calls([=](nf4j_stream *s, size_t i) { return nf4j_nf4_import(s, &states[i], &packed[i]); });
            } else {
                calls([=](nf4j_stream *s, size_t i) {
                    nf4j_nf4_state state = states[i];
                    return nf4j_nf4_export(s, &packed[i], &state);
                });
            }
        } else if (op == "nf4.matmul") {
            const Tensors x = random(m, k), y = zeros(type(), m, n);
            calls([=](nf4j_stream *s, size_t i) { return nf4j_nf4_matmul(s, &x[i], &packed[i], nullptr, &y[i]); });
        } else if (op == "nf4.matmul_backward") {
            const Tensors dy = random(m, n), dx = zeros(type(), m, k);
            calls([=](nf4j_stream *s, size_t i) { return nf4j_nf4_matmul_backward(s, &dy[i], &packed[i], &dx[i]); });
        } else if (op == "dense.matmul") {
            const Tensors x = random(m, k), y = zeros(type(), m, n);
            calls([=](nf4j_stream *s, size_t i) {
                const nf4j_matmul_options product = {sizeof product, 0, 1, 1, 0, 0};
                return nf4j_dense_matmul(s, &product, &x[i], &dense[i], nullptr, &y[i]);
            });
        } else if (op.substr(0, 5) == "lora.") {
            adapted(op.substr(0, op.rfind('.')), packed, dense, m, n, k, rank);
        } else {
            return false;
        }
        return true;
    }

    void adapted(const std::string &step, const std::vector<nf4j_nf4_weight> &packed, const Tensors &dense, int64_t m,
                 int64_t n, int64_t k, int64_t rank) {
        const Tensors a = random(NF4J_F32, rank, k), b = random(NF4J_F32, n, rank), u = random(NF4J_F32, m, rank),
                      x = random(m, k);
        const Tensors y = random(m, n), da = zeros(NF4J_F32, rank, k), db = zeros(NF4J_F32, n, rank),
                      dx = zeros(type(), m, k);
        calls([=](nf4j_stream *s, size_t i) {
            const nf4j_linear base = {sizeof base, 0, packed.empty() ? &dense[i] : nullptr,
                                      packed.empty() ? nullptr : &packed[i], nullptr};
            const nf4j_lora lora = {sizeof lora, 0, 32, 0, 0, &a[i], &b[i], nullptr};
            if (step == "lora.forward") return nf4j_lora_forward(s, &x[i], &base, &lora, &u[i], &y[i]);
            if (step == "lora.apply") return nf4j_lora_apply(s, &x[i], &base, &lora, &u[i], &y[i]);
            return nf4j_lora_backward(s, &x[i], &y[i], &u[i], &base, &lora, 0, &da[i], &db[i], &dx[i]);
        });
    }

    void project(int64_t m, int64_t k, int64_t rank, int64_t adapters) {
        const Tensors x = random(m, k);
        std::vector<Tensors> a, u;  // of each adapter
        for (int64_t j = 0; j < adapters; j++) {
            a.push_back(random(NF4J_F32, rank, k));
            u.push_back(zeros(NF4J_F32, m, rank));
        }
        calls([=](nf4j_stream *s, size_t i) {
            std::vector<nf4j_lora> loras;
            std::vector<const nf4j_lora *> list;
            std::vector<const nf4j_tensor *> us;
            for (const Tensors &one : a) loras.push_back({sizeof(nf4j_lora), 0, 32, 0, 0, &one[i], nullptr, nullptr});
            for (const nf4j_lora &lora : loras) list.push_back(&lora);
            for (const Tensors &one : u) us.push_back(&one[i]);
            return nf4j_lora_project(s, &x[i], list.data(), adapters, us.data());
        });
    }

    bool layer(const std::string &op, int64_t m, int64_t n, int64_t head_dim) {
        const Tensors x = random(m, n), dy = random(m, n), up = random(m, n), y = zeros(type(), m, n),
                      z = zeros(type(), m, n);
        const Tensors weight = random(1, n), rstd = random(NF4J_F32, 1, m, 1, 2), dweight = zeros(NF4J_F32, 1, n);
        if (op == "norm.forward") {
            calls([=](nf4j_stream *s, size_t i) {
                return nf4j_norm_forward(s, &x[i], &weight[i], 1e-5f, &rstd[i], &y[i]);
            });
        } else if (op == "norm.backward") {
            calls([=](nf4j_stream *s, size_t i) {
                return nf4j_norm_backward(s, &dy[i], &x[i], &weight[i], &rstd[i], 0, &dweight[i], &y[i]);
            });
        } else if (op == "rope.forward" || op == "rope.backward") {
            const Tensors table = random(NF4J_F32, m, head_dim);
            const auto rotate = op == "rope.forward" ? nf4j_rope_forward : nf4j_rope_backward;
            calls([=](nf4j_stream *s, size_t i) { return rotate(s, &x[i], &table[i], &y[i]); });
        } else if (op == "mlp.swiglu_forward") {
            calls([=](nf4j_stream *s, size_t i) { return nf4j_mlp_swiglu_forward(s, &x[i], &up[i], &y[i]); });
        } else if (op == "mlp.swiglu_backward") {
            calls([=](nf4j_stream *s, size_t i) {
                return nf4j_mlp_swiglu_backward(s, &dy[i], &x[i], &up[i], &y[i], &z[i]);
            });
        } else if (op == "memory.copy") {
            calls([=](nf4j_stream *s, size_t i) { return nf4j_memory_copy(s, &x[i], &y[i]); });
        } else if (op == "memory.fill") {
            calls([=](nf4j_stream *s, size_t i) { return nf4j_memory_fill(s, 0.3, &y[i]); });
        } else if (op == "memory.add") {
            calls([=](nf4j_stream *s, size_t i) { return nf4j_memory_add(s, &x[i], &up[i], &y[i]); });
        } else if (op == "memory.cast") {
            const Tensors other = zeros(type() == NF4J_F32 ? NF4J_BF16 : NF4J_F32, m, n);
            calls([=](nf4j_stream *s, size_t i) { return nf4j_memory_cast(s, &x[i], &other[i]); });
        } else {
            return false;
        }
        return true;
    }

    void table(int64_t m, int64_t head_dim) {
        const Tensors positions = integers(m, 1 << 12), frequencies = random(NF4J_F32, 1, head_dim / 2, 0, 1),
                      angles = zeros(NF4J_F32, m, head_dim);
        calls([=](nf4j_stream *s, size_t i) {
            return nf4j_rope_table(s, &positions[i], &frequencies[i], 1, &angles[i]);
        });
    }

    void attention(bool forward, int64_t m, int32_t heads, int32_t kv_heads, int32_t head_dim) {
        const int64_t n = int64_t(heads) * head_dim, kv = int64_t(kv_heads) * head_dim;
        const Tensors q = random(m, n), k = random(m, kv), v = random(m, kv), dout = random(m, n),
                      lse = zeros(NF4J_F32, m, heads);
        const Tensors out = zeros(type(), m, n), dq = zeros(type(), m, n), dk = zeros(type(), m, kv),
                      dv = zeros(type(), m, kv);
        const std::vector<int32_t> offsets = {0, static_cast<int32_t>(m)};
        const auto options = [=](const int32_t *places) {
            return nf4j_attention_options{sizeof(nf4j_attention_options),
                                          heads,
                                          kv_heads,
                                          head_dim,
                                          1 / std::sqrt(static_cast<float>(head_dim)),
                                          0,
                                          1,
                                          places,
                                          nullptr,
                                          nullptr};
        };
        const auto attend = [=](nf4j_stream *s, size_t i) {
            const nf4j_attention_options all = options(offsets.data());
            return nf4j_attention_forward(s, &all, &q[i], &k[i], &v[i], &lse[i], &out[i]);
        };
        calls(attend);
        if (forward) return;
        for (size_t i = 0; i < slots(); i++) run(i);  // backward reads what forward left
        calls([=](nf4j_stream *s, size_t i) {
            const nf4j_attention_options all = options(offsets.data());
            return nf4j_attention_backward(s, &all, &q[i], &k[i], &v[i], &lse[i], &out[i], &dout[i], &dq[i], &dk[i],
                                           &dv[i]);
        });
    }

    bool vocabulary(const std::string &op, int64_t m, int64_t n, int64_t words) {
        const Tensors ids = integers(m, words), x = random(m, n), y = zeros(type(), m, n);
        if (op == "embedding.forward") {
            const nf4j_tensor table = shared_random(type(), words, n);
            calls([=](nf4j_stream *s, size_t i) { return nf4j_embedding_forward(s, &ids[i], &table, &y[i]); });
        } else if (op == "embedding.backward") {
            const nf4j_tensor table = shared_zeros(NF4J_F32, words, n);
            calls([=](nf4j_stream *s, size_t i) { return nf4j_embedding_backward(s, &ids[i], &x[i], &table); });
        } else if (op == "loss.linear_cross_entropy") {
            const Tensors head = random(type(), words, n, -0.1f, 0.1f), loss = zeros(NF4J_F32, 1, m);
            calls([=](nf4j_stream *s, size_t i) {
                const nf4j_linear linear = {sizeof linear, 0, &head[i], nullptr, nullptr};
                return nf4j_loss_linear_cross_entropy(s, &x[i], &linear, &ids[i], 1.0f / static_cast<float>(m),
                                                      &loss[i], &y[i]);
            });
        } else {
            return false;
        }
        return true;
    }

    bool optimizer(const std::string &op, int64_t n) {
        const bool eight_bit = op == "optim.adamw8bit";
        const int32_t state = eight_bit ? NF4J_U8 : NF4J_F32;
        const Tensors param = random(NF4J_F32, 1, n), grad = random(NF4J_F32, 1, n), m = zeros(state, 1, n),
                      v = zeros(state, 1, n);
        const Tensors absmax = zeros(NF4J_F32, 1, 2 * ((n + 255) / 256)), norm = zeros(NF4J_F32, 1, 2);
        const auto parameter = [=](size_t i) {
            return nf4j_adamw_parameter{static_cast<float *>(param[i].data),
                                        static_cast<float *>(grad[i].data),
                                        m[i].data,
                                        v[i].data,
                                        eight_bit ? static_cast<float *>(absmax[i].data) : nullptr,
                                        n};
        };
        if (op == "optim.global_norm") {
            calls([=](nf4j_stream *s, size_t i) {
                const nf4j_adamw_parameter one = parameter(i);
                return nf4j_optim_global_norm(s, &one, 1, 1, &norm[i]);
            });
        } else if (op == "optim.adamw" || eight_bit) {
            calls([=](nf4j_stream *s, size_t i) {
                const nf4j_adamw_options adamw = {sizeof adamw, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1, nullptr};
                const nf4j_adamw_parameter one = parameter(i);
                return nf4j_optim_adamw(s, &adamw, &one, 1, nullptr);
            });
        } else {
            return false;
        }
        return true;
    }
};

}  // namespace

std::unique_ptr<Case> prepare(Context &context, const std::string &op, bool bf16, size_t slots, const Sizes &sizes) {
    const auto size = [&](const char *name) {
        const auto found = sizes.find(name);
        return found == sizes.end() ? 0 : found->second;
    };
    const auto small = [&](const char *name) { return static_cast<int32_t>(size(name)); };
    auto prepared = std::make_unique<Prepared>(context, bf16, slots);
    const std::string family = op.substr(0, op.find('.'));
    bool known = true;
    if (op == "lora.project") {
        prepared->project(size("m"), size("k"), size("rank"), size("adapters"));
    } else if (family == "nf4" || family == "dense" || family == "lora") {
        known = prepared->linear(op, size("m"), size("n"), size("k"), size("rank"));
    } else if (family == "attention") {
        prepared->attention(op == "attention.forward", size("m"), small("heads"), small("kv_heads"), small("head_dim"));
    } else if (family == "embedding" || family == "loss") {
        known = prepared->vocabulary(op, size("m"), size("n"), size("vocabulary"));
    } else if (family == "optim") {
        known = prepared->optimizer(op, size("n"));
    } else if (op == "rope.table") {
        prepared->table(size("m"), size("head_dim"));
    } else if (family == "rope") {
        known = prepared->layer(op, size("m"), size("heads") * size("head_dim"), size("head_dim"));
    } else {
        known = prepared->layer(op, size("m"), size("n"), 0);
    }
    return known ? std::move(prepared) : nullptr;
}

}  // namespace kernel
