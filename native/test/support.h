// What the native tests share: devices, guarded matrices with seeded contents, and checks that count.
#pragma once

#include "core/dtype.h"
#include "nf4j.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <vector>

namespace nf4j::test {

inline int checks = 0;
inline int failures = 0;

// Counts a check, and prints why it failed (the first of many).
inline bool check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
inline bool check(bool ok, const char *format, ...) {
    checks++;
    if (!ok && failures++ < 20) {
        va_list arguments;
        va_start(arguments, format);
        std::fputs("FAILED: ", stderr);
        std::vfprintf(stderr, format, arguments);
        std::fputc('\n', stderr);
        va_end(arguments);
    }
    return ok;
}

// Ends the test where nothing sensible can follow.
inline void must(int32_t status, const char *what) {
    if (status == NF4J_OK) return;
    std::fprintf(stderr, "FAILED: %s: %s\n", what, nf4j_last_error());
    std::exit(1);
}

inline int finish(const char *name) {
    std::printf("%s: %d checks, %d failures\n", name, checks, failures);
    return failures > 0 || checks == 0;
}

// The main of a test of backends, which takes a name of one: run(backend) for that, or else for all that can be opened here but
// cuda, whose turn is on a machine with a GPU (make gpu-check).
template <class Run>
int test_backends(const char *test, int count, char **arguments, Run run) {
    const char *names[] = {"reference", "cpu", "cuda", "simt"};  // nf4j_backend - 1
    for (int32_t backend = NF4J_BACKEND_REFERENCE; backend <= NF4J_BACKEND_SIMT; backend++) {
        const char *name = names[backend - 1];
        const bool chosen = count > 1 && !std::strcmp(arguments[1], name);
        if (count > 1 ? !chosen : backend == NF4J_BACKEND_CUDA) continue;
        char text[1024];
        must(nf4j_backend_probe(backend, text, sizeof text), "backend_probe");
        if (!chosen && backend == NF4J_BACKEND_SIMT && std::strstr(text, "cannot be loaded")) {
            std::printf("skipped %s: %s\n", name, text);
            continue;
        }
        run(backend);
    }
    return finish(test);
}

inline std::mt19937_64 &random_engine() {
    static std::mt19937_64 engine = [] {
        const char *given = std::getenv("NF4J_TEST_SEED");
        const uint64_t seed = given ? std::strtoull(given, nullptr, 10) : 20260101;
        std::printf("NF4J_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
        return std::mt19937_64(seed);
    }();
    return engine;
}

inline float normal() { return std::normal_distribution<float>()(random_engine()); }
inline int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_engine());
}

// A device with one stream.
class Device {
public:
    nf4j_stream *stream = nullptr;
    nf4j_device *device = nullptr;
    std::string name;

    Device(int32_t backend, int32_t isa, int32_t threads, int64_t workspace = 0, int32_t ordinal = 0) {
        nf4j_device_options options = {};
        options.struct_size = sizeof options;
        options.backend = backend;
        options.isa = isa;
        options.ordinal = ordinal;
        options.threads = threads;
        if (nf4j_device_open(&options, &device) != NF4J_OK) return;
        nf4j_stream_options stream_options = {};
        stream_options.struct_size = sizeof stream_options;
        stream_options.workspace_bytes = workspace;
        must(nf4j_stream_create(device, &stream_options, &stream), "stream_create");
        static const char *const isas[] = {"auto", "generic", "avx2", "avx512", "avx512_bf16", "neon", "amx_bf16"};
        name = backend == NF4J_BACKEND_REFERENCE ? "reference" : std::string(isas[isa]) + "/" + std::to_string(threads);
    }
    ~Device() {
        if (stream) nf4j_stream_destroy(stream);
        if (device) nf4j_device_close(device);
    }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    bool open() const { return device != nullptr; }
};

// Memory that begins where sectors and cache lines do, as a device's does.
template <typename T>
struct Aligned {
    using value_type = T;
    static constexpr std::align_val_t alignment{128};

    T *allocate(size_t count) { return static_cast<T *>(::operator new(count * sizeof(T), alignment)); }
    void deallocate(T *data, size_t) { ::operator delete(data, alignment); }
    bool operator==(const Aligned &) const { return true; }
    bool operator!=(const Aligned &) const { return false; }
};

// A matrix with a few elements between its rows and a guard band before and after, which nobody may touch.
class Matrix {
public:
    Matrix(int64_t rows, int64_t cols, int32_t dtype = NF4J_F32, int64_t gap = 3)
        : rows_(rows),
          cols_(cols),
          ld_(cols + gap),
          dtype_(dtype),
          bytes_(static_cast<size_t>((rows * ld_ + 2 * band) * size())) {
        for (int64_t i = 0; i < rows * ld_ + 2 * band; i++) put(i, guard);
    }

    // Elements from f(i, j), rounded to the type.
    template <class F>
    Matrix &fill(F f) {
        for (int64_t i = 0; i < rows_; i++) {
            for (int64_t j = 0; j < cols_; j++) put(band + i * ld_ + j, static_cast<float>(f(i, j)));
        }
        return *this;
    }
    Matrix &random() {
        return fill([](int64_t, int64_t) { return normal(); });
    }
    Matrix &integers(int64_t low, int64_t high) {
        return fill([=](int64_t, int64_t) { return integer(low, high); });
    }

    int64_t rows() const { return rows_; }
    int64_t cols() const { return cols_; }
    int32_t dtype() const { return dtype_; }
    float at(int64_t i, int64_t j) const { return get(band + i * ld_ + j); }
    char *row(int64_t i) { return bytes_.data() + (band + i * ld_) * size(); }
    nf4j_tensor tensor() { return {row(0), rows_, cols_, ld_, dtype_, 0}; }
    // `count` rows from `first` on.
    nf4j_tensor slice(int64_t first, int64_t count) { return {row(first), count, cols_, ld_, dtype_, 0}; }

    bool guards_hold() const {
        for (int64_t i = 0; i < rows_ * ld_ + 2 * band; i++) {
            const int64_t inner = i - band;
            const bool inside = inner >= 0 && inner < rows_ * ld_ && inner % ld_ < cols_;
            if (!inside && get(i) != guard) return false;
        }
        return true;
    }

private:
    static constexpr int64_t band = 64;
    static constexpr float guard = 12288;  // exact in every type

    int64_t size() const { return dtype_ == NF4J_F32 || dtype_ == NF4J_I32 ? 4 : 2; }
    float get(int64_t i) const {
        const char *p = bytes_.data() + i * size();
        switch (dtype_) {
            case NF4J_BF16: return to_f32(*reinterpret_cast<const bf16 *>(p));
            case NF4J_F16: return to_f32(*reinterpret_cast<const f16 *>(p));
            case NF4J_I32: return static_cast<float>(*reinterpret_cast<const int32_t *>(p));
            default: return *reinterpret_cast<const float *>(p);
        }
    }
    void put(int64_t i, float value) {
        char *p = bytes_.data() + i * size();
        switch (dtype_) {
            case NF4J_BF16: *reinterpret_cast<bf16 *>(p) = to_bf16(value); break;
            case NF4J_F16: *reinterpret_cast<f16 *>(p) = to_f16(value); break;
            case NF4J_I32: *reinterpret_cast<int32_t *>(p) = static_cast<int32_t>(value); break;
            default: *reinterpret_cast<float *>(p) = value;
        }
    }

    int64_t rows_, cols_, ld_;
    int32_t dtype_;
    std::vector<char, Aligned<char>> bytes_;
};

// The same bits, and intact guards.
inline void check_same(const Matrix &actual, const Matrix &expected, const std::string &what) {
    for (int64_t i = 0; i < expected.rows(); i++) {
        for (int64_t j = 0; j < expected.cols(); j++) {
            if (bits_of(actual.at(i, j)) == bits_of(expected.at(i, j))) continue;
            check(false, "%s: (%lld, %lld) is %.9g, not %.9g", what.c_str(), static_cast<long long>(i),
                  static_cast<long long>(j), static_cast<double>(actual.at(i, j)),
                  static_cast<double>(expected.at(i, j)));
            return;
        }
    }
    check(actual.guards_hold(), "%s: wrote outside the matrix", what.c_str());
}

// |actual - expected| <= one rounding to the result's type + the rounding of `terms` F32 additions whose magnitudes add
// up to magnitude(i, j). Also checks that the bound means something: most elements must be larger than it.
template <class F>
void check_near(const Matrix &actual, const Matrix &expected, int64_t terms, F magnitude, const std::string &what) {
    const double unit = actual.dtype() == NF4J_F32 ? 0x1p-23 : 0x1p-7;
    int64_t meaningful = 0;
    for (int64_t i = 0; i < expected.rows(); i++) {
        for (int64_t j = 0; j < expected.cols(); j++) {
            const double wanted = expected.at(i, j), got = actual.at(i, j);
            const double bound =
                unit * std::fabs(wanted) + (2 * std::sqrt(static_cast<double>(terms)) + 8) * 0x1p-24 * magnitude(i, j);
            meaningful += std::fabs(wanted) > bound;
            if (std::fabs(got - wanted) <= bound) continue;
            check(false, "%s: (%lld, %lld) is %.9g, not %.9g +- %.3g", what.c_str(), static_cast<long long>(i),
                  static_cast<long long>(j), got, wanted, bound);
            return;
        }
    }
    check(actual.guards_hold(), "%s: wrote outside the matrix", what.c_str());
    check(2 * meaningful >= expected.rows() * expected.cols(), "%s: a result of zero would have passed", what.c_str());
}

}  // namespace nf4j::test
