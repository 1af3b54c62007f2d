// Times matrix products of one library in a process of its own, so that its threads and settings meet nobody else's:
//
//     peer openblas|mkl|onednn PATH THREADS        the library is loaded from PATH
//     peer nf4j - THREADS                          ours, called from C: what the way through the JVM adds to
//
// It is told line by line and answers each with one line:
//
//     gemm f32|bf16 M N K TRANSPOSED SLOTS    c [M, N] = a [M, K] * op(b), b stored [N, K] if TRANSPOSED is 1, else [K, N], in SLOTS
//                                             sets of buffers: ready NANOSECONDS (of one sample), or failed REASON
//     sample COUNT                            COUNT times in microseconds per call
//
// nf4j multiplies with an NF4 weight made from b. oneDNN may bring b into the order that it likes before the clock starts, as
// nf4j does with its weights. Sums are checked in a few places against sums in double.
#include "nf4j.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "peer_onednn.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Shape {
    bool bf16;
    int64_t m, n, k;
    bool transpose_b;
};

uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float from_bf16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

// A matrix in F32 or BF16.
class Matrix {
  public:
    Matrix(int64_t rows, int64_t cols, bool bf16)
        : cols_(cols), bf16_(bf16), bytes_(static_cast<size_t>(rows * cols) * (bf16 ? 2 : 4)) {}

    void randomize(std::mt19937 &engine) {
        std::uniform_real_distribution<float> uniform(-1, 1);
        const size_t count = bytes_.size() / (bf16_ ? 2 : 4);
        for (size_t i = 0; i < count; i++) {
            const float value = uniform(engine);
            const uint16_t half = to_bf16(value);
            std::memcpy(&bytes_[i * (bf16_ ? 2 : 4)], bf16_ ? static_cast<const void *>(&half) : &value, bf16_ ? 2 : 4);
        }
    }

    void *data() { return bytes_.data(); }

    double at(int64_t row, int64_t col) const {
        const size_t i = static_cast<size_t>(row * cols_ + col);
        if (bf16_) {
            uint16_t half;
            std::memcpy(&half, &bytes_[2 * i], 2);
            return from_bf16(half);
        }
        float value;
        std::memcpy(&value, &bytes_[4 * i], 4);
        return value;
    }

  private:
    int64_t cols_;
    bool bf16_;
    std::vector<uint8_t> bytes_;
};

struct Slot {
    Matrix a, b, c;
};

// One library. prepare() returns what is wrong, or nothing.
class Library {
  public:
    virtual ~Library() = default;
    virtual std::string prepare(const Shape &shape, std::vector<Slot> &slots) = 0;
    virtual void run(size_t slot) = 0;
    virtual bool c_is_bf16() const { return false; }
};

// y = x * op(w) by CBLAS, under the names that OpenBLAS from PyPI, a plain OpenBLAS or MKL give it.
class Cblas : public Library {
  public:
    Cblas(void *library, int threads) {
        for (const char *name : {"scipy_cblas_sgemm", "cblas_sgemm"}) {
            if (!sgemm_) sgemm_ = reinterpret_cast<Gemm<float>>(dlsym(library, name));
        }
        for (const char *name : {"cblas_gemm_bf16bf16f32", "scipy_cblas_sbgemm", "cblas_sbgemm"}) {
            if (!bgemm_) bgemm_ = reinterpret_cast<Gemm<uint16_t>>(dlsym(library, name));
        }
        for (const char *name : {"scipy_openblas_set_num_threads", "openblas_set_num_threads", "MKL_Set_Num_Threads"}) {
            if (void *set = dlsym(library, name)) reinterpret_cast<void (*)(int)>(set)(threads);
        }
    }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        shape_ = shape;
        slots_ = &slots;
        if (shape.bf16 ? !bgemm_ : !sgemm_) return std::string("this build has no product in ") + (shape.bf16 ? "BF16" : "F32");
        return {};
    }

    void run(size_t slot) override {
        Slot &s = (*slots_)[slot];
        if (shape_.bf16) {
            call(bgemm_, static_cast<const uint16_t *>(s.a.data()), static_cast<const uint16_t *>(s.b.data()), s.c);
        } else {
            call(sgemm_, static_cast<const float *>(s.a.data()), static_cast<const float *>(s.b.data()), s.c);
        }
    }

  private:
    template <class T>
    using Gemm = void (*)(int, int, int, int, int, int, float, const T *, int, const T *, int, float, float *, int);

    template <class T>
    void call(Gemm<T> gemm, const T *a, const T *b, Matrix &c) {
        constexpr int row_major = 101, plain = 111, transposed = 112;
        const int m = static_cast<int>(shape_.m), n = static_cast<int>(shape_.n), k = static_cast<int>(shape_.k);
        gemm(row_major, plain, shape_.transpose_b ? transposed : plain, m, n, k, 1, a, k, b, shape_.transpose_b ? k : n, 0,
             static_cast<float *>(c.data()), n);
    }

    Gemm<float> sgemm_ = nullptr;
    Gemm<uint16_t> bgemm_ = nullptr;
    Shape shape_ = {};
    std::vector<Slot> *slots_ = nullptr;
};

class Onednn : public Library {
  public:
    explicit Onednn(void *library) : library_(library) {}

    bool c_is_bf16() const override { return true; }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        matmul_.reset();
        matmul_ = std::make_unique<onednn::Matmul>(library_, shape.bf16, shape.m, shape.n, shape.k, shape.transpose_b);
        for (Slot &slot : slots) matmul_->add(slot.a.data(), slot.b.data(), slot.c.data());
        return matmul_->problem();
    }

    void run(size_t slot) override { matmul_->run(slot); }

  private:
    void *library_;
    std::unique_ptr<onednn::Matmul> matmul_;
};

void must(int32_t status) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "%s\n", nf4j_last_error());
    std::exit(1);
}

class Nf4j : public Library {
  public:
    explicit Nf4j(int threads) {
        const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CPU, 0, threads, NF4J_ISA_AUTO, 0};
        must(nf4j_device_open(&options, &device_));
        must(nf4j_stream_create(device_, nullptr, &stream_));
    }

    ~Nf4j() override {
        release();
        must(nf4j_stream_destroy(stream_));
        must(nf4j_device_close(device_));
    }

    bool c_is_bf16() const override { return true; }

    std::string prepare(const Shape &shape, std::vector<Slot> &slots) override {
        release();
        shape_ = shape;
        slots_ = &slots;
        // The weight is [out, in]: forward multiplies with its transpose, backward with itself.
        const int64_t out = shape.transpose_b ? shape.n : shape.k, in = shape.transpose_b ? shape.k : shape.n;
        for (Slot &slot : slots) {
            nf4j_nf4_weight weight = {sizeof weight, 1, out, in, 64, nullptr, 0};
            must(nf4j_nf4_weight_bytes(device_, out, in, 64, 1, &weight.bytes));
            must(nf4j_memory_alloc(device_, weight.bytes, &weight.data));
            const nf4j_tensor b = tensor(slot.b, out, in);
            must(nf4j_nf4_quantize(stream_, &b, &weight));
            must(nf4j_nf4_dequantize(stream_, &weight, 0, &b));  // what the check multiplies with
            weights_.push_back(weight);
        }
        return {};
    }

    void run(size_t slot) override {
        Slot &s = (*slots_)[slot];
        const nf4j_tensor a = tensor(s.a, shape_.m, shape_.k), c = tensor(s.c, shape_.m, shape_.n);
        must(shape_.transpose_b ? nf4j_nf4_matmul(stream_, &a, &weights_[slot], nullptr, &c)
                                : nf4j_nf4_matmul_backward(stream_, &a, &weights_[slot], &c));
    }

  private:
    nf4j_tensor tensor(Matrix &matrix, int64_t rows, int64_t cols) const {
        return {matrix.data(), rows, cols, cols, shape_.bf16 ? NF4J_BF16 : NF4J_F32, 0};
    }

    void release() {
        for (nf4j_nf4_weight &weight : weights_) must(nf4j_memory_free(device_, weight.data));
        weights_.clear();
    }

    nf4j_device *device_ = nullptr;
    nf4j_stream *stream_ = nullptr;
    Shape shape_ = {};
    std::vector<Slot> *slots_ = nullptr;
    std::vector<nf4j_nf4_weight> weights_;
};

// Sixteen sums in double; an error shows the wrong operand or order, of which no figure is worth anything.
std::string check(const Shape &shape, const Slot &slot, bool bf16_result) {
    std::mt19937 engine(7);
    const double bound = (bf16_result ? 1e-2 : 1e-4) * std::sqrt(static_cast<double>(shape.k));
    for (int i = 0; i < 16; i++) {
        const int64_t row = static_cast<int64_t>(engine()) % shape.m, col = static_cast<int64_t>(engine()) % shape.n;
        double sum = 0;
        for (int64_t j = 0; j < shape.k; j++) {
            sum += slot.a.at(row, j) * (shape.transpose_b ? slot.b.at(col, j) : slot.b.at(j, col));
        }
        if (!(std::abs(slot.c.at(row, col) - sum) <= bound)) return "its product is wrong";
    }
    return {};
}

// Rotates through the slots; a sample is long enough for the clock.
class Timer {
  public:
    Timer(Library &library, size_t slots) : library_(library), slots_(slots) {
        double nanos = 1e30;
        for (int i = 0; i < 5; i++) nanos = std::min(nanos, sample());
        calls_ = std::clamp(static_cast<int>(std::ceil(1e5 / nanos)), 1, 4096);
        sample_nanos_ = nanos * calls_;
    }

    double sample_nanos() const { return sample_nanos_; }

    double sample() {  // nanoseconds per call
        const auto begin = Clock::now();
        for (int i = 0; i < calls_; i++) {
            library_.run(next_);
            next_ = (next_ + 1) % slots_;
        }
        return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / calls_;
    }

  private:
    Library &library_;
    size_t slots_;
    size_t next_ = 0;
    int calls_ = 1;
    double sample_nanos_ = 0;
};

std::unique_ptr<Library> open(const std::string &name, const char *path, int threads) {
    if (name == "nf4j") return std::make_unique<Nf4j>(threads);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        std::printf("failed %s\n", dlerror());
        return nullptr;
    }
    if (name == "onednn") return std::make_unique<Onednn>(library);
    return std::make_unique<Cblas>(library, threads);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4 || std::atoi(argv[3]) < 1) {
        std::fprintf(stderr, "usage: peer openblas|mkl|onednn|nf4j PATH THREADS\n");
        return 2;
    }
    setvbuf(stdout, nullptr, _IOLBF, 0);
    std::unique_ptr<Library> library = open(argv[1], argv[2], std::atoi(argv[3]));
    if (!library) return 1;
    std::vector<Slot> slots;
    std::unique_ptr<Timer> timer;
    char line[256], type[8];
    while (std::fgets(line, sizeof line, stdin)) {
        long long m, n, k, count;
        int transposed;
        if (std::sscanf(line, "gemm %7s %lld %lld %lld %d %lld", type, &m, &n, &k, &transposed, &count) == 6) {
            const Shape shape = {std::strcmp(type, "bf16") == 0, m, n, k, transposed != 0};
            const bool bf16_result = shape.bf16 && library->c_is_bf16();
            timer.reset();
            slots.clear();
            std::mt19937 engine(1);
            Slot first = {Matrix(m, k, shape.bf16), shape.transpose_b ? Matrix(n, k, shape.bf16) : Matrix(k, n, shape.bf16),
                          Matrix(m, n, bf16_result)};
            first.a.randomize(engine);
            first.b.randomize(engine);
            slots.assign(static_cast<size_t>(count), first);
            std::string problem = library->prepare(shape, slots);
            if (problem.empty()) {
                library->run(0);
                problem = check(shape, slots[0], bf16_result);
            }
            if (problem.empty()) {
                timer = std::make_unique<Timer>(*library, slots.size());
                std::printf("ready %.0f\n", timer->sample_nanos());
            } else {
                std::printf("failed %s\n", problem.c_str());
            }
        } else if (timer && std::sscanf(line, "sample %lld", &count) == 1) {
            for (long long i = 0; i < count; i++) std::printf("%s%.4f", i ? " " : "", timer->sample() / 1e3);
            std::printf("\n");
        } else {
            std::printf("failed cannot do: %s", line);
        }
    }
    return 0;
}
