// Operations are pure launches: a whole training step is captured, runs nothing meanwhile, and replayed gives bit by bit
// what the operations give when they run at once. Between two replays the tokens, the rate and the seed of dropout change,
// in device memory; a replay that had looked at them while it was captured would be wrong. The step that runs at once has
// rate and seed in its arguments.
#include "simt/capture.h"
#include "simt_support.h"

#include <cstring>
#include <deque>

using namespace nf4j;
using namespace nf4j::test;

namespace {

constexpr int64_t m = 11, hidden = 32, heads = 2, dim = 16, inner = 48, vocabulary = 40, rank = 4;
const Backend *ops;

// The smallest decoder that has every operation: one layer with adapters on q and down, and its optimizer.
class Model {
public:
    Model(int32_t dtype, bool in_device_memory) : dtype_(dtype) {
        nf4j_device_options options = {};
        must(ops->open(&options, &device_), "open");
        stream_.device = &device_;
        stream_.workspace_bytes = 1 << 20;
        stream_.workspace = static_cast<char *>(memory(stream_.workspace_bytes));
        must(ops->stream_create(&stream_), "stream_create");
        for (nf4j_nf4_weight *w : {&wq_, &wk_, &wv_}) *w = quantized(hidden, hidden);
        for (nf4j_nf4_weight *w : {&wgate_, &wup_}) *w = quantized(inner, hidden);
        wdown_ = quantized(hidden, inner);
        table_ = random(dtype, vocabulary, hidden);
        gain_ = random(dtype, 1, hidden);
        adapters_ = {random(NF4J_F32, rank, hidden), random(NF4J_F32, hidden, rank), random(NF4J_F32, rank, inner),
                     random(NF4J_F32, hidden, rank)};
        for (const nf4j_tensor &a : adapters_) {
            gradients_.push_back(zeros(NF4J_F32, a.rows, a.cols));
            parameters_.push_back({static_cast<float *>(a.data), static_cast<float *>(gradients_.back().data),
                                   zeros(NF4J_F32, a.rows, a.cols).data, zeros(NF4J_F32, a.rows, a.cols).data, nullptr,
                                   a.rows * a.cols});
        }
        rope_ = random(NF4J_F32, m, dim);
        ids_ = zeros(NF4J_I32, 1, m);
        labels_ = zeros(NF4J_I32, 1, m);
        loss_ = zeros(NF4J_F32, 1, m);
        norm_ = zeros(NF4J_F32, 1, 2);
        if (!in_device_memory) return;
        device_seed_ = static_cast<uint64_t *>(memory(sizeof *device_seed_));
        device_step_ = static_cast<nf4j_adamw_step *>(memory(sizeof *device_step_));
    }
    ~Model() {
        ops->graph_destroy(graph_);
        ops->stream_destroy(&stream_);
        for (void *data : memory_) ops->free(&device_, data);
        ops->close(&device_);
    }
    Model(const Model &) = delete;
    Model &operator=(const Model &) = delete;

    // What is new in each step: its tokens, and what goes with its number.
    void set_step(int step) {
        for (int64_t t = 0; t < m; t++) {
            static_cast<int32_t *>(ids_.data)[t] = static_cast<int32_t>((t * 7 + step * 3) % vocabulary);
            static_cast<int32_t *>(labels_.data)[t] =
                static_cast<int32_t>(t % 4 == 0 ? -100 : (t * 5 + step) % vocabulary);
        }
        seed_ = 99 + static_cast<uint64_t>(step);
        adamw_ = {sizeof adamw_, 0.05f / static_cast<float>(1 + step), 0.9f, 0.999f, 1e-8f, 0.01f, 1 + step, nullptr};
        if (!device_seed_) return;
        *device_seed_ = seed_;
        done(ops->optim_adamw_step(&stream_, &adamw_, device_step_));
        seed_ = 0;
        adamw_.learning_rate = adamw_.weight_decay = 0;
        adamw_.step = 0;
        adamw_.device_step = device_step_;
    }

    // As core/ does it.
    void begin_capture() {
        done(ops->graph_begin(&stream_));
        stream_.capturing = true;
        device_.captures++;
    }
    void end_capture() {
        stream_.capturing = false;
        device_.captures--;
        done(ops->graph_end(&stream_, &graph_));
    }
    int32_t replay() { return ops->graph_launch(&stream_, graph_); }
    std::vector<std::string> captured() const { return static_cast<const simt::Capture *>(graph_)->names(); }

    // Queues everything, in buffers made once.
    void step() {
        buffer_ = 0;
        for (const nf4j_tensor &g : gradients_) done(ops->memory_fill(&stream_, 0, &g));
        const nf4j_tensor *x = use(m, hidden), *h = use(m, hidden), *rstd = use_f32(1, m);
        done(ops->embedding_forward(&stream_, &ids_, &table_, x));
        done(ops->norm_forward(&stream_, x, &gain_, 1e-5f, rstd, h));
        const nf4j_tensor *q = use(m, hidden), *k = use(m, hidden), *v = use(m, hidden), *u = use_f32(m, rank);
        const nf4j_linear base_q = layer(&wq_), base_down = layer(&wdown_);
        const nf4j_lora lora_q = adapter(0), lora_down = adapter(2);
        adapted(h, base_q, lora_q, u, q);
        done(ops->nf4_matmul(&stream_, h, &wk_, nullptr, k));
        done(ops->nf4_matmul(&stream_, h, &wv_, nullptr, v));
        done(ops->rope_forward(&stream_, q, &rope_, q));
        done(ops->rope_forward(&stream_, k, &rope_, k));
        const int32_t offsets[] = {0, 4, m};  // read during the call alone
        nf4j_attention_options attention = {};
        attention.heads = attention.kv_heads = heads;
        attention.head_dim = dim;
        attention.scale = 0.25f;
        attention.sequences = 2;
        attention.q_offsets = offsets;
        const nf4j_tensor *lse = use_f32(m, heads), *o = use(m, hidden), *x2 = use(m, hidden);
        done(ops->attention_forward(&stream_, &attention, q, k, v, lse, o));
        done(ops->memory_add(&stream_, x, o, x2));
        const nf4j_tensor *h2 = use(m, hidden), *rstd2 = use_f32(1, m), *gate = use(m, inner), *up = use(m, inner);
        done(ops->norm_forward(&stream_, x2, &gain_, 1e-5f, rstd2, h2));
        done(ops->nf4_matmul(&stream_, h2, &wgate_, nullptr, gate));
        done(ops->nf4_matmul(&stream_, h2, &wup_, nullptr, up));
        const nf4j_tensor *s = use(m, inner), *u2 = use_f32(m, rank), *d = use(m, hidden), *dlast = use(m, hidden);
        done(ops->mlp_swiglu_forward(&stream_, gate, up, s));
        adapted(s, base_down, lora_down, u2, d);
        done(ops->memory_add(&stream_, x2, d, d));
        nf4j_linear head = {};
        head.dense = &table_;
        done(ops->loss_linear_cross_entropy(&stream_, d, &head, &labels_, 0.1f, &loss_, dlast));

        const nf4j_tensor *ds = use(m, inner), *dgate = use(m, inner), *dup = use(m, inner), *dh = use(m, hidden);
        done(ops->lora_backward(&stream_, s, dlast, u2, &base_down, &lora_down, 0, &gradients_[2], &gradients_[3], ds));
        done(ops->mlp_swiglu_backward(&stream_, ds, gate, up, dgate, dup));
        const nf4j_tensor *dpart = use(m, hidden), *dq = use(m, hidden), *dk = use(m, hidden), *dv = use(m, hidden);
        done(ops->nf4_matmul_backward(&stream_, dgate, &wgate_, dh));
        done(ops->nf4_matmul_backward(&stream_, dup, &wup_, dpart));
        done(ops->memory_add(&stream_, dh, dpart, dh));
        done(ops->norm_backward(&stream_, dh, x2, &gain_, rstd2, 1, nullptr, dlast));
        done(ops->attention_backward(&stream_, &attention, q, k, v, lse, o, dlast, dq, dk, dv));
        done(ops->rope_backward(&stream_, dq, &rope_, dq));
        done(ops->lora_backward(&stream_, h, dq, u, &base_q, &lora_q, 0, &gradients_[0], &gradients_[1], nullptr));
        done(ops->optim_global_norm(&stream_, parameters_.data(), 4, 1, &norm_));
        done(ops->optim_adamw(&stream_, &adamw_, parameters_.data(), 4, static_cast<float *>(norm_.data) + 1));
        memory_refused_ = ops->alloc(&device_, 64, &refused_) == NF4J_UNSUPPORTED;
        waiting_refused_ = ops->stream_synchronize(&stream_) == NF4J_UNSUPPORTED;
        if (!memory_refused_) ops->free(&device_, refused_);
    }

    // The narrow products of three adapters that share x.
    void project() {
        buffer_ = 0;
        const nf4j_tensor *x = use(m, hidden), *us[] = {use_f32(m, rank), use_f32(m, rank), use_f32(m, rank)};
        const nf4j_lora lora = adapter(0), *list[] = {&lora, &lora, &lora};
        done(ops->lora_project(&stream_, x, list, 3, us));
    }

    bool refused_both() const { return memory_refused_ && waiting_refused_; }
    bool refused_none() const { return !memory_refused_ && !waiting_refused_; }

    // Losses, adapters and their states.
    std::vector<char> result() const {
        std::vector<char> bytes;
        const auto append = [&](const void *data, int64_t size) {
            const char *from = static_cast<const char *>(data);
            bytes.insert(bytes.end(), from, from + size);
        };
        append(loss_.data, m * 4);
        append(norm_.data, 8);
        for (const nf4j_adamw_parameter &p : parameters_) {
            for (const void *data :
                 {static_cast<const void *>(p.param), static_cast<const void *>(p.m), static_cast<const void *>(p.v)})
                append(data, p.n * 4);
        }
        return bytes;
    }

private:
    static void done(int32_t status) {
        if (status == NF4J_OK) return;
        std::fprintf(stderr, "FAILED: %s\n", last_report.c_str());
        std::exit(1);
    }

    void *memory(int64_t bytes) {
        void *data;
        done(ops->alloc(&device_, bytes, &data));
        memory_.push_back(data);
        return data;
    }

    nf4j_tensor zeros(int32_t dtype, int64_t rows, int64_t cols) {
        const int64_t size = dtype == NF4J_BF16 ? 2 : 4;
        const nf4j_tensor t = {memory(rows * cols * size), rows, cols, cols, dtype, 0};
        std::memset(t.data, 0, static_cast<size_t>(rows * cols * size));
        return t;
    }

    nf4j_tensor random(int32_t dtype, int64_t rows, int64_t cols) {
        const nf4j_tensor t = zeros(dtype, rows, cols), f32 = zeros(NF4J_F32, rows, cols);
        for (int64_t i = 0; i < rows * cols; i++) static_cast<float *>(f32.data)[i] = 0.3f * normal();
        if (dtype == NF4J_F32) return f32;
        done(ops->memory_cast(&stream_, &f32, &t));
        return t;
    }

    nf4j_nf4_weight quantized(int64_t rows, int64_t cols) {
        const nf4j_tensor source = random(NF4J_F32, rows, cols);
        nf4j_nf4_weight w = {sizeof w, 1, rows, cols, 64, nullptr, ops->nf4_weight_bytes(rows, cols, 64, 1)};
        w.data = memory(w.bytes);
        done(ops->nf4_quantize(&stream_, &source, &w));
        return w;
    }

    static nf4j_linear layer(const nf4j_nf4_weight *weight) {
        nf4j_linear linear = {};
        linear.nf4 = weight;
        return linear;
    }

    nf4j_lora adapter(size_t first) const {
        return {sizeof(nf4j_lora), 0, 8, 0.2f, seed_, &adapters_[first], &adapters_[first + 1], device_seed_};
    }

    void adapted(const nf4j_tensor *x, const nf4j_linear &base, const nf4j_lora &lora, const nf4j_tensor *u,
                 const nf4j_tensor *y) {
        const nf4j_lora *list[] = {&lora};  // read during the call alone
        done(ops->lora_project(&stream_, x, list, 1, &u));
        done(ops->lora_apply(&stream_, x, &base, &lora, u, y));
    }

    // The next buffer of the step; the first step makes them.
    const nf4j_tensor *use(int64_t rows, int64_t cols) { return use(dtype_, rows, cols); }
    const nf4j_tensor *use_f32(int64_t rows, int64_t cols) { return use(NF4J_F32, rows, cols); }
    const nf4j_tensor *use(int32_t dtype, int64_t rows, int64_t cols) {
        if (buffer_ == buffers_.size()) buffers_.push_back(zeros(dtype, rows, cols));
        return &buffers_[buffer_++];
    }

    int32_t dtype_;
    nf4j_device device_ = {};
    nf4j_stream stream_ = {};
    std::vector<void *> memory_;
    std::deque<nf4j_tensor> buffers_;
    size_t buffer_ = 0;
    nf4j_nf4_weight wq_, wk_, wv_, wgate_, wup_, wdown_;
    nf4j_tensor table_, gain_, rope_, ids_, labels_, loss_, norm_;
    std::vector<nf4j_tensor> adapters_, gradients_;
    std::vector<nf4j_adamw_parameter> parameters_;
    uint64_t seed_ = 0, *device_seed_ = nullptr;
    nf4j_adamw_options adamw_ = {};
    nf4j_adamw_step *device_step_ = nullptr;
    void *graph_ = nullptr;
    void *refused_ = nullptr;
    bool memory_refused_ = false, waiting_refused_ = false;
};

void test_step(int32_t dtype) {
    const auto engine = random_engine();
    Model eager(dtype, false);
    random_engine() = engine;  // the same numbers
    Model replayed(dtype, true);
    eager.set_step(0);
    replayed.set_step(0);
    eager.step();
    replayed.step();  // makes the buffers
    check(eager.refused_none(), "outside of a capture something was refused");
    check(eager.result() == replayed.result(), "two models with the same numbers differ");

    const std::vector<char> before = replayed.result();
    replayed.begin_capture();
    replayed.step();
    replayed.end_capture();
    check(replayed.refused_both(), "in a capture, allocating or waiting was not refused");
    check(replayed.result() == before, "something ran while it was captured");
    std::vector<char> last = before;
    for (int step = 1; step <= 3; step++) {
        eager.set_step(step);
        replayed.set_step(step);
        eager.step();
        check(replayed.replay() == NF4J_OK, "replay: %s", last_report.c_str());
        check(eager.result() == replayed.result(), "step %d: the replay differs", step);
        check(eager.result() != last, "step %d changed nothing", step);
        last = eager.result();
    }
    const std::vector<std::string> names = replayed.captured();
    int optimizer = 0, copies = 0;
    for (const std::string &name : names) {
        optimizer += name == "adamw";
        copies += name == "copy";
    }
    check(optimizer == 1, "AdamW took %d launches", optimizer);
    check(copies == 0, "a step made %d copies", copies);
    std::printf("a step is %zu launches\n", names.size());
}

// One launch reads x for all of them, and one adds up the sums of all.
void test_projection() {
    Model model(NF4J_BF16, false);
    model.set_step(0);
    model.project();  // makes the buffers
    model.begin_capture();
    model.project();
    model.end_capture();
    const size_t launches = model.captured().size();
    check(launches == 2, "three adapters took %zu launches", launches);
}

}  // namespace

int main() {
    connect();
    static const CoreServices services = {sizeof(Backend), keep_report};
    ops = nf4j_backend_entry(&services);
    test_step(NF4J_F32);
    test_step(NF4J_BF16);
    test_projection();
    return finish("capture_test");
}
