// What every library that bench/native/peer.cpp measures is given, and how its product is checked.
#pragma once

#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace peer {

struct Shape {
    bool bf16;
    int64_t m, n, k;
    bool transpose_b;
};

inline uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float from_bf16(uint16_t value) {
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
    virtual std::string version() = 0;
    virtual std::string prepare(const Shape &shape, std::vector<Slot> &slots) = 0;
    virtual void run(size_t slot) = 0;
    // Brings the result of a slot into its c, where run() leaves it elsewhere.
    virtual void fetch(size_t) {}
    virtual bool c_is_bf16() const { return false; }
    // What rounding may do to one term of a sum, whose terms are at most 1.
    virtual double rounding(const Shape &shape) const { return shape.bf16 && c_is_bf16() ? 1e-2 : 1e-4; }
};

// Functions of a library that was loaded at run time. The first that is missing is the problem that all later calls do nothing for.
class Functions {
public:
    explicit Functions(void *library) : library_(library) {}

    // What could not be done; empty if nothing.
    const std::string &problem() const { return problem_; }

protected:
    void fail(const std::string &problem) {
        if (problem_.empty()) problem_ = problem;
    }

    void *symbol(const char *name) {
        void *address = dlsym(library_, name);
        if (!address) fail(std::string("this build has no ") + name);
        return address;
    }

    template <class Result, class... Arguments>
    Result call(const char *name, Arguments... arguments) {
        void *address = symbol(name);
        return address ? reinterpret_cast<Result (*)(Arguments...)>(address)(arguments...) : Result();
    }

private:
    void *library_;
    std::string problem_;
};

// Sixteen sums in double; an error shows the wrong operand or order, of which no figure is worth anything.
inline std::string check(const Shape &shape, const Slot &slot, double rounding) {
    std::mt19937 engine(7);
    const double bound = rounding * std::sqrt(static_cast<double>(shape.k));
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

}  // namespace peer
