// Device memory, and the clock of gpu_bench: contenders that take turns, on calls recorded as graphs.
#pragma once

#include "gpu.h"
#include "gpu_cublas.h"
#include "gpu_json.h"

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <random>

using Call = std::function<void(int slot)>;

struct Contender {
    std::string name;
    Call call;
};

inline uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline double from_bf16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return static_cast<double>(result);
}

inline int64_t size_of(int32_t dtype) {
    return dtype == NF4J_F32 || dtype == NF4J_I32 ? 4 : dtype == NF4J_BF16 ? 2 : 1;
}

class Bench {
public:
    // `json` is written after every row, so that a run that is killed leaves what it has measured; null: nowhere.
    Bench(int32_t backend, double seconds, bool smoke, const char *json)
        : smoke_(smoke), seconds_(seconds), json_(json ? json : "") {
        if (backend == NF4J_BACKEND_CUDA)
            machine_ = std::make_unique<Gpu>();
        else
            machine_ = std::make_unique<Host>();
        nf4j_device_options options = {};
        options.struct_size = sizeof options;
        options.backend = backend;
        must(nf4j_device_open(&options, &device_));
        nf4j_stream_options on = {};
        on.struct_size = sizeof on;
        on.native_stream = machine_->stream();
        must(nf4j_stream_create(device_, &on, &stream_));
        char text[4096] = "";
        must(nf4j_backend_probe(backend, text, sizeof text));
        cublas_ = std::make_unique<Cublas>(text, machine_->stream());
        constexpr int64_t workspace = 32 << 20;
        if (cublas_->found()) cublas_->use_workspace(allocate(workspace), workspace);
        report.device = machine_->name();
        report.driver = machine_->driver();
        report.backend = backend == NF4J_BACKEND_CUDA ? "cuda" : "simt";
        report.isa = machine_->isa();
        report.multiprocessors = machine_->multiprocessors();
        report.l2_bytes = machine_->l2_bytes();
        nf4j_device_info info = {};
        info.struct_size = sizeof info;
        must(nf4j_device_get_info(device_, &info));
        report.memory_bytes = info.total_memory;
        report.library = nf4j_version();
        report.rival = cublas_->name();
        report.smoke = smoke;
        std::mt19937 random(1);
        std::uniform_real_distribution<float> uniform(-1, 1);
        for (uint16_t &x : pattern_) x = to_bf16(uniform(random));
        permanent_ = memory_.size();
    }

    ~Bench() {
        for (void *data : memory_) nf4j_memory_free(device_, data);
        nf4j_stream_destroy(stream_);
        nf4j_device_close(device_);
    }
    Bench(const Bench &) = delete;
    Bench &operator=(const Bench &) = delete;

    void save() {
        report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
        if (json_.empty()) return;
        const std::string unfinished = json_ + ".new";
        FILE *file = std::fopen(unfinished.c_str(), "w");
        if (file) write_json(report, file);
        if (!file || std::fclose(file) != 0 || std::rename(unfinished.c_str(), json_.c_str()) != 0)
            throw Failure(json_ + " cannot be written: " + std::strerror(errno));
    }

    Report report;

protected:
    // ---- memory --------------------------------------------------------------------------------------------------------

    void *allocate(int64_t bytes) {
        void *data;
        must(nf4j_memory_alloc(device_, bytes, &data));
        memory_.push_back(data);
        return data;
    }

    // Frees what was allocated since keep(), or everything that a family allocated.
    void forget(size_t but) {
        must(nf4j_stream_synchronize(stream_));
        for (; memory_.size() > but; memory_.pop_back()) must(nf4j_memory_free(device_, memory_.back()));
    }
    void forget() { forget(permanent_); }
    void keep() { kept_ = memory_.size(); }

    template <class Family>
    void attempt(const char *name, const Family &family) {
        begin(name);
        try {
            try {
                family();
            } catch (const Failure &failure) {
                report.failures.push_back(doing_ + ": " + failure.what());
                std::printf("\nFAILED %s\n", report.failures.back().c_str());
                forget();
            }
        } catch (const Failure &) {
            // The device is lost: the next family will say so.
        }
    }

    // What a failure is said to have happened in.
    void begin(const std::string &what) { doing_ = what; }
    void begin(const Row &row) {
        char text[160];
        std::snprintf(text, sizeof text, "%s %s m %lld n %lld k %lld", row.operation.c_str(), row.shape.c_str(),
                      static_cast<long long>(row.m), static_cast<long long>(row.n), static_cast<long long>(row.k));
        begin(text);
    }

    nf4j_tensor zeros(int32_t dtype, int64_t rows, int64_t cols) {
        nf4j_tensor t = {allocate(rows * cols * size_of(dtype)), rows, cols, cols, dtype, 0};
        must(nf4j_memory_fill(stream_, 0, &t));
        return t;
    }

    // Uniform in [-1, 1): the pattern again and again, whose length no row divides.
    nf4j_tensor random(int32_t dtype, int64_t rows, int64_t cols) {
        const nf4j_tensor t = {allocate(rows * cols * size_of(dtype)), rows, cols, cols, dtype, 0};
        const auto length = static_cast<int64_t>(std::size(pattern_));
        for (int64_t at = 0; at < rows * cols; at += length) {
            const int64_t count = std::min(length, rows * cols - at);
            const nf4j_tensor from = {pattern_, 1, count, count, NF4J_BF16, 0};
            const nf4j_tensor to = {static_cast<char *>(t.data) + at * size_of(dtype), 1, count, count, dtype, 0};
            if (dtype == NF4J_BF16) {
                must(nf4j_memory_copy(stream_, &from, &to));
            } else {
                void *staged = allocate(count * 2);
                const nf4j_tensor there = {staged, 1, count, count, NF4J_BF16, 0};
                must(nf4j_memory_copy(stream_, &from, &there));
                must(nf4j_memory_cast(stream_, &there, &to));
            }
        }
        return t;
    }

    nf4j_nf4_weight quantized(const nf4j_tensor &source) {
        nf4j_nf4_weight w = {};
        w.struct_size = sizeof w;
        w.double_quant = 1;
        w.rows = source.rows;
        w.cols = source.cols;
        w.block_size = 64;
        must(nf4j_nf4_weight_bytes(device_, w.rows, w.cols, w.block_size, w.double_quant, &w.bytes));
        w.data = allocate(w.bytes);
        must(nf4j_nf4_quantize(stream_, &source, &w));
        return w;
    }

    // Row `row` as double.
    std::vector<double> download(const nf4j_tensor &t, int64_t row) {
        std::vector<uint16_t> bits(static_cast<size_t>(t.cols));
        const nf4j_tensor from = {static_cast<char *>(t.data) + row * t.ld * 2, 1, t.cols, t.cols, NF4J_BF16, 0};
        const nf4j_tensor to = {bits.data(), 1, t.cols, t.cols, NF4J_BF16, 0};
        must(nf4j_memory_copy(stream_, &from, &to));
        must(nf4j_stream_synchronize(stream_));
        std::vector<double> values;
        for (uint16_t b : bits) values.push_back(from_bf16(b));
        return values;
    }

    // ---- measuring -------------------------------------------------------------------------------------------------------

    // Calls with other memory until twice the L2 cache has gone by.
    int slots_for(double bytes) const {
        const double l2 = static_cast<double>(machine_->l2_bytes());
        return static_cast<int>(std::min(64.0, std::max(2.0, std::ceil(2 * l2 / bytes) + 1)));
    }

    // `rivals` are those of the contenders that cuBLAS takes part in.
    void measure(Row row, int slots, const std::vector<Contender> &contenders,
                 std::initializer_list<const char *> rivals = {}) {
        begin(row);
        std::printf("%-60s", doing_.c_str());  // a call that never ends is named
        std::fflush(stdout);
        row.slots = slots;
        std::vector<Recording> recordings;
        std::vector<double> calls;
        for (const Contender &c : contenders) {
            for (int warm = 0; warm < 2; warm++) c.call(0);
            const double once = machine_->time([&] { c.call(1 % slots); });
            const double wanted = smoke_ ? 1 : 1000 / std::max(once, 1.0);
            const int rounds = static_cast<int>(std::ceil(std::min(wanted, 512.0) / slots));
            recordings.push_back(machine_->record([&] {
                for (int i = 0; i < std::max(1, rounds) * slots; i++) c.call(i % slots);
            }));
            calls.push_back(std::max(1, rounds) * slots);
            row.contenders.push_back({c.name});
            row.contenders.back().launches = recordings.back().launches / calls.back();
        }
        row.calls_per_sample = static_cast<int>(calls[0]);
        row.warm_ups = 3;  // so far
        // A third of the time warms up; then at least five rounds, in which who begins changes.
        const size_t count = contenders.size();
        double spent = 0;
        for (int round = 0; spent < seconds_ || row.contenders[0].us.size() < 5; round++) {
            const bool counted = smoke_ || spent > seconds_ / 3;
            if (!counted) row.warm_ups += row.calls_per_sample;
            for (size_t i = 0; i < count; i++) {
                const size_t which = (i + static_cast<size_t>(round)) % count;
                const double us = machine_->time(recordings[which].run);
                spent += us / 1e6;
                if (counted) row.contenders[which].us.push_back(us / calls[which]);
            }
            if (row.contenders[0].us.size() >= 31) break;
        }
        row.mhz = machine_->clock();
        for (const Recording &r : recordings) r.discard();
        row.memory_us = row.bytes() / report.copy_gbs / 1e3;
        row.compute_us = row.flops / report.gemm_tflops / 1e6;  // NaN where there is no cuBLAS to tell
        for (const Samples &c : row.contenders)
            std::printf("  %s %.2f us, %g launches", c.name.c_str(), c.median(), c.launches);
        std::printf("%s\n", row.is_void() ? "  VOID: wrong result" : "");
        std::fflush(stdout);
        if (!cublas_->found()) {
            for (const char *rival : rivals) row.contenders.push_back({rival, "no cuBLAS was found"});
        }
        report.rows.push_back(row);
        save();
    }

    bool smoke_;
    double seconds_;  // of each row
    std::string json_;
    std::string doing_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    std::unique_ptr<Machine> machine_;
    std::unique_ptr<Cublas> cublas_;
    nf4j_device *device_ = nullptr;
    nf4j_stream *stream_ = nullptr;
    std::vector<void *> memory_;
    size_t permanent_ = 0, kept_ = 0;
    uint16_t pattern_[1'000'003];
};
