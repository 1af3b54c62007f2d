// The kernels of the cuda backend on a GPU, beside cuBLAS on weights that were dequantized before, beside dequantization
// followed by cuBLAS, and beside the bandwidth of a copy.
//
//     gpu_bench [--backend cuda|simt] [--family nf4|lora|optim|layers] [--seconds N] [--smoke] [--commit TEXT]
//               [--json FILE --sha256 OF_LIBRARY]
//
// Calls are recorded as a graph and timed by the device's events, so the host's queueing is not in them. A row's
// contenders take turns in every round. Each call works on other memory: more than twice the L2 cache in all. Products are
// checked first, elements against sums in double. --family measures one alone, as a process that a lost device ends should.
// --smoke runs tiny sizes, on simt too, to see that all of it works. The JSON file is a result file of nf4j-bench, written
// anew after each row: `nf4j-bench report FILE` has the table and the goals.
#include "gpu_measure.h"

#include <ctime>

namespace {

const std::string families[] = {"nf4", "lora", "optim", "layers"};

class Suite : public Bench {
public:
    using Bench::Bench;

    // Of all families, or of one; the limits are every row's floor.
    void run(const std::string &family) {
        const auto wanted = [&](const char *name) { return family.empty() || family == name; };
        attempt("limits", [&] { limits(); });
        struct Layer {
            const char *name;
            int64_t out, in;
        };
        const std::vector<Layer> projections = smoke_ ? std::vector<Layer>{{"small", 192, 128}}
                                                      : std::vector<Layer>{{"llama3-8b.gate", 14336, 4096},
                                                                           {"llama3-8b.down", 4096, 14336},
                                                                           {"llama3-8b.q", 4096, 4096},
                                                                           {"llama3-8b.k", 1024, 4096}};
        for (const Layer &layer : projections) {
            if (wanted("nf4")) attempt("nf4", [&] { products(layer.name, layer.out, layer.in); });
            if (wanted("lora")) attempt("lora", [&] { lora(layer.name, layer.out, layer.in); });
        }
        if (wanted("lora")) attempt("lora", [&] { lora_of_one_input(); });
        if (wanted("optim")) attempt("optim", [&] { optimizers(); });
        if (wanted("layers")) attempt("layers", [&] { layers(); });
        report.finished = true;
        save();
    }

private:
    const char *named(const char *shape) const { return smoke_ ? "small" : shape; }

    void limits() {
        const int64_t elements = smoke_ ? 1 << 11 : int64_t{1} << 29;
        const nf4j_tensor from = zeros(NF4J_BF16, 1, elements), to = zeros(NF4J_BF16, 1, elements);
        must(nf4j_memory_fill(stream_, 7, &from));
        const double each = 2 * static_cast<double>(elements);
        measure({"memory.copy", "limit", 1, elements, 0, 0, each, each}, 1,
                {{"nf4j", [&](int) { must(nf4j_memory_copy(stream_, &from, &to)); }}});
        Row &row = report.rows.back();
        report.copy_gbs = row.bytes() / row.contenders[0].median() / 1e3;
        row.memory_us = row.contenders[0].median();
        forget();
        if (!cublas_->found()) return;
        constexpr int64_t size = 8192;
        const nf4j_tensor a = random(NF4J_BF16, size, size), b = random(NF4J_BF16, size, size),
                          c = zeros(NF4J_BF16, size, size);
        const double flops = 2.0 * size * size * size;
        measure({"cublas.matmul", "limit", size, size, size, flops, 4.0 * size * size, 2.0 * size * size}, 1,
                {{"cublas", [&](int) { cublas_->multiply(a.data, b.data, c.data, size, size, size, true); }}});
        report.gemm_tflops = flops / report.rows.back().contenders[0].median() / 1e6;
        forget();
    }

    // ---- nf4 -------------------------------------------------------------------------------------------------------------

    // The largest error of some elements of y = x * w^T (or x * w) in units of what rounding explains: BF16 rounds the
    // result to 2^-9 of it, F32 sums err by less than 2^-20 of the sum of magnitudes here.
    double error_of(const nf4j_tensor &x, const nf4j_tensor &w, const nf4j_tensor &y, bool transpose_w) {
        double worst = 0;
        for (int sample = 0; sample < 4; sample++) {
            const int64_t i = sample * (y.rows - 1) / 3;
            const std::vector<double> row = download(x, i), result = download(y, i);
            for (int part = 0; part < 4; part++) {
                const int64_t j = part * (y.cols - 1) / 3;
                double sum = 0, magnitude = 0;
                const std::vector<double> weights = transpose_w ? download(w, j) : column(w, j);
                for (size_t k = 0; k < row.size(); k++) {
                    sum += row[k] * weights[k];
                    magnitude += std::fabs(row[k] * weights[k]);
                }
                const double allowed = std::fabs(sum) / 256 + magnitude / (1 << 20);
                const double error = std::fabs(result[static_cast<size_t>(j)] - sum) / allowed;
                worst = std::isfinite(error) ? std::fmax(worst, error) : INFINITY;
            }
        }
        return worst;
    }

    std::vector<double> column(const nf4j_tensor &t, int64_t j) {
        std::vector<uint16_t> bits(static_cast<size_t>(t.rows));
        const nf4j_tensor from = {static_cast<char *>(t.data) + j * 2, t.rows, 1, t.ld, NF4J_BF16, 0};
        const nf4j_tensor to = {bits.data(), t.rows, 1, 1, NF4J_BF16, 0};
        must(nf4j_memory_copy(stream_, &from, &to));
        must(nf4j_stream_synchronize(stream_));
        std::vector<double> values;
        for (uint16_t b : bits) values.push_back(from_bf16(b));
        return values;
    }

    std::vector<int64_t> tokens(int64_t n, int64_t k) const {
        if (smoke_) return {1, 33};
        if (n * k > 50'000'000) return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
        return {1, 8, 16, 64, 256, 512, 1024, 4096, 8192};
    }

    void products(const char *shape, int64_t n, int64_t k) {
        const nf4j_tensor source = random(NF4J_BF16, n, k);
        const double packed = 0.516 * static_cast<double>(n * k);
        const int weights = slots_for(packed);
        std::vector<nf4j_nf4_weight> w;
        std::vector<nf4j_tensor> dense;
        for (int i = 0; i < weights; i++) w.push_back(quantized(source));
        for (int i = 0; i < slots_for(2.0 * static_cast<double>(n * k)); i++) {
            dense.push_back(zeros(NF4J_BF16, n, k));
            must(nf4j_nf4_dequantize(stream_, &w[0], 0, &dense.back()));
        }
        const nf4j_tensor unpacked = zeros(NF4J_BF16, n, k);
        keep();  // the weights serve all numbers of tokens
        for (const int64_t m : tokens(n, k)) {
            for (const bool forward : {true, false}) {
                const int64_t in = forward ? k : n, out = forward ? n : k;
                const double read = packed + 2.0 * static_cast<double>(m * in),
                             written = 2.0 * static_cast<double>(m * out);
                const int slots = slots_for(read + written);
                std::vector<nf4j_tensor> x, y;
                for (int i = 0; i < slots; i++)
                    x.push_back(random(NF4J_BF16, m, in)), y.push_back(zeros(NF4J_BF16, m, out));
                const auto weight = [&](int slot) -> nf4j_nf4_weight & {
                    return w[static_cast<size_t>(slot % weights)];
                };
                const Call fused = [&](int s) {
                    const nf4j_tensor &from = x[static_cast<size_t>(s)], &to = y[static_cast<size_t>(s)];
                    must(forward ? nf4j_nf4_matmul(stream_, &from, &weight(s), nullptr, &to)
                                 : nf4j_nf4_matmul_backward(stream_, &from, &weight(s), &to));
                };
                const auto rival = [&](int s, const nf4j_tensor &by) {
                    cublas_->multiply(x[static_cast<size_t>(s)].data, by.data, y[static_cast<size_t>(s)].data, m, out,
                                      in, forward);
                };
                Row row = {forward ? "nf4.matmul" : "nf4.matmul_backward", shape, m,      n, k,
                           2.0 * static_cast<double>(m * n * k),           read,  written};
                begin(row);
                fused(0);
                row.error = error_of(x[0], dense[0], y[0], forward);
                row.bound = 1;
                std::vector<Contender> contenders = {{"nf4j", fused}};
                if (cublas_->found()) {
                    contenders.push_back(
                        {"cublas", [&](int s) { rival(s, dense[static_cast<size_t>(s) % dense.size()]); }});
                    contenders.push_back({"dequantize + cublas", [&](int s) {
                                              must(nf4j_nf4_dequantize(stream_, &weight(s), 0, &unpacked));
                                              rival(s, unpacked);
                                          }});
                }
                measure(row, slots, contenders, {"cublas", "dequantize + cublas"});
                forget(kept_);
            }
        }
        forget();
    }

    // ---- lora ------------------------------------------------------------------------------------------------------------

    void lora(const char *shape, int64_t n, int64_t k) {
        constexpr int64_t rank = 16;
        const nf4j_tensor source = random(NF4J_BF16, n, k);
        const double packed = 0.516 * static_cast<double>(n * k);
        const int weights = slots_for(packed);
        std::vector<nf4j_nf4_weight> w;
        for (int i = 0; i < weights; i++) w.push_back(quantized(source));
        std::vector<nf4j_tensor> dense;  // what the adapter would have without quantization
        for (int i = 0; i < slots_for(2.0 * static_cast<double>(n * k)); i++) {
            dense.push_back(zeros(NF4J_BF16, n, k));
            must(nf4j_nf4_dequantize(stream_, &w[0], 0, &dense.back()));
        }
        const nf4j_tensor a = random(NF4J_F32, rank, k), b = random(NF4J_F32, n, rank);
        const nf4j_tensor da = zeros(NF4J_F32, rank, k), db = zeros(NF4J_F32, n, rank);
        nf4j_lora adapter = {};
        adapter.struct_size = sizeof adapter;
        adapter.alpha = 32;
        adapter.a = &a;
        adapter.b = &b;
        keep();
        for (const int64_t m : smoke_ ? std::vector<int64_t>{33} : std::vector<int64_t>{512, 1024, 2048, 4096, 8192}) {
            const double x_bytes = 2.0 * static_cast<double>(m * k), y_bytes = 2.0 * static_cast<double>(m * n);
            const int slots = slots_for(packed + x_bytes + y_bytes);
            std::vector<nf4j_tensor> x, y, u, dx;
            for (int i = 0; i < slots; i++) {
                x.push_back(random(NF4J_BF16, m, k));
                y.push_back(random(NF4J_BF16, m, n));
                u.push_back(zeros(NF4J_F32, m, rank));
                dx.push_back(zeros(NF4J_BF16, m, k));
            }
            std::vector<nf4j_linear> base(static_cast<size_t>(weights));
            for (size_t i = 0; i < base.size(); i++) {
                base[i] = {};
                base[i].struct_size = sizeof base[i];
                base[i].nf4 = &w[i];
            }
            const auto at = [](auto &list, int slot) { return &list[static_cast<size_t>(slot) % list.size()]; };
            const double adapters = 2.0 * static_cast<double>(m * rank * (n + k)),
                         product = 2.0 * static_cast<double>(m * n * k);
            measure({"lora.forward.nf4", shape, m, n, k, product + adapters, packed + x_bytes, y_bytes}, slots,
                    {{"nf4j",
                      [&](int s) {
                          must(nf4j_lora_forward(stream_, at(x, s), at(base, s), &adapter, at(u, s), at(y, s)));
                      }},
                     {"nf4.matmul",
                      [&](int s) { must(nf4j_nf4_matmul(stream_, at(x, s), at(w, s), nullptr, at(y, s))); }}});
            measure({"lora.backward.nf4", shape, m, n, k, product + 2 * adapters, packed + x_bytes + y_bytes, x_bytes},
                    slots,
                    {{"nf4j",
                      [&](int s) {
                          must(nf4j_lora_backward(stream_, at(x, s), at(y, s), at(u, s), at(base, s), &adapter, 0, &da,
                                                  &db, at(dx, s)));
                      }},
                     {"nf4.matmul_backward",
                      [&](int s) { must(nf4j_nf4_matmul_backward(stream_, at(y, s), at(w, s), at(dx, s))); }}});
            if (smoke_ || m == 4096) {
                std::vector<Contender> contenders = {
                    {"nf4j", [&](int s) {
                         nf4j_linear unquantized = {};
                         unquantized.struct_size = sizeof unquantized;
                         unquantized.dense = at(dense, s);
                         must(nf4j_lora_forward(stream_, at(x, s), &unquantized, &adapter, at(u, s), at(y, s)));
                     }}};
                if (cublas_->found()) {
                    contenders.push_back({"cublas", [&](int s) {
                                              cublas_->multiply(at(x, s)->data, at(dense, s)->data, at(y, s)->data, m,
                                                                n, k, true);
                                          }});
                }
                measure({"lora.forward.dense", shape, m, n, k, product + adapters,
                         2.0 * static_cast<double>(n * k) + x_bytes, y_bytes},
                        slots, contenders, {"cublas"});
            }
            forget(kept_);
        }
        forget();
    }

    // What the adapters of q, k and v take of their input, in one pass over it or in one for each.
    void lora_of_one_input() {
        constexpr int64_t rank = 16, adapters = 3;
        const int64_t k = smoke_ ? 128 : 4096;
        const nf4j_tensor a = random(NF4J_F32, rank, k);
        nf4j_lora adapter = {};
        adapter.struct_size = sizeof adapter;
        adapter.alpha = 32;
        adapter.a = &a;
        const std::vector<const nf4j_lora *> three(adapters, &adapter);
        keep();
        for (const int64_t m : smoke_ ? std::vector<int64_t>{33} : std::vector<int64_t>{512, 4096, 8192}) {
            const double x_bytes = 2.0 * static_cast<double>(m * k),
                         u_bytes = 4.0 * static_cast<double>(m * rank * adapters);
            const int slots = slots_for(x_bytes + u_bytes);
            std::vector<nf4j_tensor> x, u;
            for (int i = 0; i < slots; i++) x.push_back(random(NF4J_BF16, m, k));
            for (int i = 0; i < slots * adapters; i++) u.push_back(zeros(NF4J_F32, m, rank));
            const auto results = [&](int slot) {
                const nf4j_tensor *first = &u[static_cast<size_t>(slot * adapters)];
                return std::vector<const nf4j_tensor *>{first, first + 1, first + 2};
            };
            const auto input = [&](int slot) { return &x[static_cast<size_t>(slot)]; };
            const double flops = 2.0 * static_cast<double>(m * rank * adapters * k);
            measure({"lora.project", named("llama3-8b.qkv"), m, rank * adapters, k, flops, x_bytes, u_bytes}, slots,
                    {{"nf4j",
                      [&](int s) {
                          must(nf4j_lora_project(stream_, input(s), three.data(), adapters, results(s).data()));
                      }},
                     {"one by one", [&](int s) {
                          for (const nf4j_tensor *each : results(s))
                              must(nf4j_lora_project(stream_, input(s), three.data(), 1, &each));
                      }}});
            forget(kept_);
        }
        forget();
    }

    // ---- the rest --------------------------------------------------------------------------------------------------------

    // Adapters of rank 16 on all projections of a model of 1.1 billion parameters: 308 matrices, 12.6 million elements.
    void optimizers() {
        const char *shape = named("tinyllama-1.1b.adapters");
        const int layers = smoke_ ? 1 : 22;
        for (const bool in_8_bits : {false, true}) {
            std::vector<nf4j_adamw_parameter> parameters;
            double elements = 0;
            for (int layer = 0; layer < layers; layer++) {
                for (const int64_t width :
                     {2048, 2048, 2048, 256, 2048, 256, 2048, 2048, 2048, 5632, 2048, 5632, 5632, 2048}) {
                    const int64_t n = 16 * width;
                    const int32_t dtype = in_8_bits ? NF4J_U8 : NF4J_F32;
                    parameters.push_back(
                        {static_cast<float *>(random(NF4J_F32, 1, n).data),
                         static_cast<float *>(random(NF4J_F32, 1, n).data), zeros(dtype, 1, n).data,
                         zeros(dtype, 1, n).data,
                         in_8_bits ? static_cast<float *>(zeros(NF4J_F32, 2, (n + 255) / 256).data) : nullptr, n});
                    elements += static_cast<double>(n);
                }
            }
            nf4j_adamw_options options = {sizeof options, 1e-4f, 0.9f, 0.999f, 1e-8f, 0, 1, nullptr};
            const nf4j_tensor norm = zeros(NF4J_F32, 1, 2);
            const auto count = static_cast<int64_t>(parameters.size());
            const double states = in_8_bits ? 4.0 : 16.0;  // bytes of an element's two states, read and written
            Row update = {in_8_bits ? "optim.adamw8bit" : "optim.adamw",
                          shape,
                          0,
                          static_cast<int64_t>(elements),
                          count,
                          0,
                          elements * (8 + states / 2),
                          elements * (4 + states / 2)};
            update.dtype = "f32";
            measure(
                update, 1,
                {{"nf4j", [&](int) { must(nf4j_optim_adamw(stream_, &options, parameters.data(), count, nullptr)); }}});
            if (!in_8_bits) {
                Row sum = {"optim.global_norm", shape, 0, static_cast<int64_t>(elements), count, 0, 4 * elements, 0};
                sum.dtype = "f32";
                measure(sum, 1, {{"nf4j", [&](int) {
                                      must(nf4j_optim_global_norm(stream_, parameters.data(), count, 1, &norm));
                                  }}});
            }
            forget();
        }
    }

    // What runs between the products, on the shapes of a model with 8 billion parameters.
    void layers() {
        const char *shape = named("llama3-8b");
        const int64_t m = smoke_ ? 16 : 4096, hidden = smoke_ ? 64 : 4096, inner = smoke_ ? 96 : 14336,
                      dim = smoke_ ? 16 : 128;
        const auto bytes = [&](double matrices, int64_t columns) {
            return matrices * 2 * static_cast<double>(m * columns);
        };
        const nf4j_tensor source = random(NF4J_BF16, inner, hidden), out = zeros(NF4J_BF16, inner, hidden);
        const nf4j_nf4_weight w = quantized(source);
        const double elements = static_cast<double>(inner * hidden);
        measure({"nf4.quantize", shape, 0, inner, hidden, 0, 2 * elements, 0.516 * elements}, 1,
                {{"nf4j", [&](int) { must(nf4j_nf4_quantize(stream_, &source, &w)); }}});
        measure({"nf4.dequantize", shape, 0, inner, hidden, 0, 0.516 * elements, 2 * elements}, 1,
                {{"nf4j", [&](int) { must(nf4j_nf4_dequantize(stream_, &w, 0, &out)); }}});
        const nf4j_tensor x = random(NF4J_BF16, m, hidden), y = zeros(NF4J_BF16, m, hidden),
                          dy = random(NF4J_BF16, m, hidden);
        const nf4j_tensor gain = random(NF4J_BF16, 1, hidden), rstd = zeros(NF4J_F32, 1, m);
        measure({"norm.forward", shape, m, hidden, 0, 0, bytes(1, hidden), bytes(1, hidden)}, 1,
                {{"nf4j", [&](int) { must(nf4j_norm_forward(stream_, &x, &gain, 1e-5f, &rstd, &y)); }}});
        measure({"norm.backward", shape, m, hidden, 0, 0, bytes(2, hidden), bytes(1, hidden)}, 1,
                {{"nf4j", [&](int) { must(nf4j_norm_backward(stream_, &dy, &x, &gain, &rstd, 0, nullptr, &y)); }}});
        const nf4j_tensor gate = random(NF4J_BF16, m, inner), up = random(NF4J_BF16, m, inner),
                          h = zeros(NF4J_BF16, m, inner);
        measure({"mlp.swiglu_forward", shape, m, inner, 0, 0, bytes(2, inner), bytes(1, inner)}, 1,
                {{"nf4j", [&](int) { must(nf4j_mlp_swiglu_forward(stream_, &gate, &up, &h)); }}});
        const nf4j_tensor table = zeros(NF4J_F32, m, dim);
        measure({"rope.forward", shape, m, hidden, 0, 0, bytes(1, hidden), bytes(1, hidden)}, 1,
                {{"nf4j", [&](int) { must(nf4j_rope_forward(stream_, &x, &table, &y)); }}});
        attention(shape, m, hidden, dim);
        const int64_t vocabulary = smoke_ ? 96 : 32000;
        const nf4j_tensor head = random(NF4J_BF16, vocabulary, hidden), labels = zeros(NF4J_I32, 1, m),
                          loss = zeros(NF4J_F32, 1, m);
        nf4j_linear layer = {};
        layer.struct_size = sizeof layer;
        layer.dense = &head;
        measure(
            {"loss.linear_cross_entropy", shape, m, vocabulary, hidden,
             4.0 * static_cast<double>(m * vocabulary * hidden), bytes(1, hidden), bytes(1, hidden)},
            1,
            {{"nf4j", [&](int) { must(nf4j_loss_linear_cross_entropy(stream_, &x, &layer, &labels, 1, &loss, &y)); }}});
        forget();
    }

    void attention(const char *shape, int64_t m, int64_t hidden, int64_t dim) {
        const int32_t heads = static_cast<int32_t>(hidden / dim), kv_heads = heads / 4;
        const int32_t offsets[] = {0, static_cast<int32_t>(m)};
        nf4j_attention_options options = {};
        options.struct_size = sizeof options;
        options.heads = heads;
        options.kv_heads = kv_heads;
        options.head_dim = static_cast<int32_t>(dim);
        options.scale = 0.09f;
        options.sequences = 1;
        options.q_offsets = offsets;
        const nf4j_tensor q = random(NF4J_BF16, m, hidden), k = random(NF4J_BF16, m, kv_heads * dim),
                          v = random(NF4J_BF16, m, kv_heads * dim);
        const nf4j_tensor out = zeros(NF4J_BF16, m, hidden), lse = zeros(NF4J_F32, m, heads),
                          dout = random(NF4J_BF16, m, hidden);
        const nf4j_tensor dq = zeros(NF4J_BF16, m, hidden), dk = zeros(NF4J_BF16, m, kv_heads * dim),
                          dv = zeros(NF4J_BF16, m, kv_heads * dim);
        const double flops = 2.0 * static_cast<double>(m * m * hidden);  // causal: half of both products
        const double queries = 2.0 * static_cast<double>(m * hidden),
                     keys = 2.0 * static_cast<double>(m * kv_heads * dim);
        measure({"attention.forward", shape, m, hidden, dim, flops, queries + 2 * keys, queries}, 1,
                {{"nf4j", [&](int) { must(nf4j_attention_forward(stream_, &options, &q, &k, &v, &lse, &out)); }}});
        measure({"attention.backward", shape, m, hidden, dim, 2.5 * flops, 3 * queries + 2 * keys, queries + 2 * keys},
                1, {{"nf4j", [&](int) {
                         must(nf4j_attention_backward(stream_, &options, &q, &k, &v, &lse, &out, &dout, &dq, &dk, &dv));
                     }}});
    }
};

}  // namespace

int main(int count, char **arguments) {
    int32_t backend = NF4J_BACKEND_CUDA;
    double seconds = 0.3;
    bool smoke = false;
    std::string family;
    const char *commit = "unknown", *sha256 = nullptr, *json = nullptr;
    for (int i = 1; i < count; i++) {
        const std::string name = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        if (name == "--smoke") {
            smoke = true;
            continue;
        }
        i++;
        if (name == "--backend" && (!std::strcmp(value, "cuda") || !std::strcmp(value, "simt"))) {
            backend = *value == 'c' ? NF4J_BACKEND_CUDA : NF4J_BACKEND_SIMT;
        } else if (name == "--family" && std::count(std::begin(families), std::end(families), std::string(value))) {
            family = value;
        } else if (name == "--seconds" && std::atof(value) > 0) {
            seconds = std::atof(value);
        } else if (name == "--commit") {
            commit = value;
        } else if (name == "--sha256" && std::strlen(value) == 64) {
            sha256 = value;
        } else if (name == "--json") {
            json = value;
        } else {
            std::fprintf(stderr, "gpu_bench: %s %s is no option; see the head of gpu_bench.cpp\n", name.c_str(), value);
            return 2;
        }
    }
    if (json && !sha256) {
        std::fprintf(stderr, "gpu_bench: --json needs --sha256, of the library that has the kernels\n");
        return 2;
    }
    std::unique_ptr<Suite> bench;
    try {
        bench = std::make_unique<Suite>(backend, smoke ? 0 : seconds, smoke || backend == NF4J_BACKEND_SIMT, json);
    } catch (const Failure &failure) {
        std::fprintf(stderr, "gpu_bench: %s\n", failure.what());
        return 3;
    }
    Report &report = bench->report;
    report.commit = commit;
    report.library_sha256 = sha256 ? sha256 : "";
    report.arguments.assign(arguments + 1, arguments + count);
    const std::time_t now = std::time(nullptr);
    char started[32];
    std::strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
    report.started = started;
    try {
        bench->run(family);
    } catch (const Failure &failure) {
        std::fprintf(stderr, "gpu_bench: %s\n", failure.what());
        return 3;
    }
    return report.is_good() ? 0 : 1;
}
