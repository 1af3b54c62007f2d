// One call of the library: its matrices, what must come out, other ways to the same bits, and wrong answers it must not
// take.
#pragma once

#include "weight.h"

#include <functional>
#include <string>

namespace conformance {

constexpr int none = -1;  // the number of an argument that is null

// What of a matrix belongs to one token: nothing, a row or a column.
enum class Tokens { none, rows, columns };

struct Matrix {
    std::string name;
    int64_t rows, cols;
    int32_t dtype;
    Tokens tokens;
    bool is_output;
    int64_t gap = 3;             // elements between rows
    std::vector<double> values;  // what it holds before the call; NaN where an output is not read
    // Of an output, filled by the model: the exact result, how far off it may be before it is rounded to the type, and
    // so the smallest and the largest element that is right.
    std::vector<double> exact, error, low, high;
    bool aligned = false;  // begins at a cache line

    double &at(int64_t i, int64_t j) { return values[static_cast<size_t>(i * cols + j)]; }
    double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * cols + j)]; }
    double exact_at(int64_t i, int64_t j) const { return exact[static_cast<size_t>(i * cols + j)]; }
    bool is_right(size_t index, double element) const;

    // f(i, j) rounded to the type.
    template <class F>
    Matrix &fill(const F &f) {
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < cols; j++) at(i, j) = rounded(dtype, static_cast<double>(f(i, j)));
        }
        return *this;
    }
    Matrix &normals(Random &random, double scale = 1) {
        return fill([&](int64_t, int64_t) { return scale * normal(random); });
    }
    Matrix &integers(Random &random, int64_t low_, int64_t high_) {
        return fill([&](int64_t, int64_t) { return integer(random, low_, high_); });
    }
};

// The arguments of one call, on a device.
class Call {
public:
    nf4j_device *device;
    nf4j_stream *stream;
    std::vector<nf4j_tensor> tensors;
    std::vector<Tokens> tokens;
    std::vector<nf4j_nf4_weight> weights;

    const nf4j_tensor *operator[](int matrix) const {
        return matrix == none ? nullptr : &tensors[static_cast<size_t>(matrix)];
    }
    const nf4j_nf4_weight *weight(int number) const {
        return number == none ? nullptr : &weights[static_cast<size_t>(number)];
    }
    // The same on a stream of its own, with a workspace of this size.
    int32_t with_workspace(int64_t bytes, const std::function<int32_t(const Call &)> &invoke) const;
    // The same for `count` of the tokens.
    Call part(int64_t first, int64_t count) const;
    // The same with what is `from` in the place of `to`, after copying its contents there: a call that works in place.
    Call in_place(int from, int to) const;
};

using Invoke = std::function<int32_t(const Call &)>;

// Another way to what the call gives: the matrices of `same` must have the same bits (all outputs where it is empty).
struct Variant {
    std::string name;
    Invoke invoke;
    std::vector<int> same;
};

struct Problem;

// A mistake that an implementation might make: applied to the problem, its model gives the wrong answer.
struct Mistake {
    std::string name;
    std::function<void(Problem &)> make;
};

struct Problem {
    std::vector<Matrix> matrices;
    std::vector<Nf4> weights;  // inputs too
    bool exact = false;        // integers and powers of two: no order of summation rounds, results must be exact
    bool portable = false;     // the same bits on every backend
    bool anywhere = false;     // the same bits wherever the matrices begin, and whatever lies between their rows
    bool capturable = true;    // can be part of a graph, where the backend has them
    Invoke invoke;
    std::function<void(Problem &)> model;
    std::vector<Variant> variants;
    std::vector<Mistake> mistakes;

    int input(const char *name, int64_t rows, int64_t cols, int32_t dtype, Tokens tokens = Tokens::none);
    int output(const char *name, int64_t rows, int64_t cols, int32_t dtype, Tokens tokens = Tokens::none);
    // Makes the rows of a matrix begin at multiples of 16 bytes, as they do in a model: kernels have fast ways for them.
    void align(int matrix);
    // Aligns what is not, and the reverse.
    void move();
    Matrix &operator[](int matrix) { return matrices[static_cast<size_t>(matrix)]; }

    // What the model says.
    void expect(int matrix, int64_t i, int64_t j, Real result);
    void expect_between(int matrix, int64_t i, int64_t j, double low, double exact, double high);
    // A code: the number of the value nearest to x.
    void expect_nearest(int matrix, int64_t i, int64_t j, const std::vector<double> &values, Real x);

    // Makes it a problem of its call on a stream with a workspace that is too small: that is said, and nothing is
    // written.
    void starved(int64_t workspace_bytes);
    // The variant that passes the tokens by few at a time: what a token gets does not depend on those beside it.
    void tokens_alone();
    // The same for a product [n, k] of many tokens, which may have other bits where another kernel takes few of them:
    // by so many at a time that nf4j_explain begins like that of the whole call, up to its first comma.
    void tokens_alone(int32_t operation, int64_t n, int64_t k, int32_t dtype);
    using KernelOf = std::function<std::string(const Call &, int64_t tokens)>;
    void tokens_alone(const KernelOf &kernel_of);
    // The mistakes of reading the row, or the column, beside the right one of an input.
    void off_by_one_row(int matrix);
    void off_by_one_column(int matrix);
    // Those of decoding a weight.
    void decoded_wrongly(int weight);
};

}  // namespace conformance
