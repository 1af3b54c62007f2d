// Element types on the host, written without the library's own conversions; and numbers that carry a bound on their
// error.
#pragma once

#include "nf4j.h"

#include <cmath>
#include <cstdint>

namespace conformance {

constexpr double f32_unit = 0x1p-24;             // the largest relative error of one rounding to F32
constexpr double bf16_unit = 0x1p-8;             // the same to BF16
constexpr double smallest_normal = 0x1p-126;     // any result below it may be flushed to 0
constexpr double function_error = 4 * f32_unit;  // allowed to exp, log, sin and cos: 2 units in the last place

int64_t size_of(int32_t dtype);
const char *name_of(int32_t dtype);  // "f32" and so on
bool is_float(int32_t dtype);
// The element nearest to value, ties to even; infinity where it lies beyond the largest.
double rounded(int32_t dtype, double value);
// Half the distance between neighbouring elements around value: what rounding to the type may add to an error.
double half_unit(int32_t dtype, double value);
// An element in memory. encode takes what rounded() gives.
void encode(int32_t dtype, double value, char *to);
double decode(int32_t dtype, const char *from);

// A number and a bound on the error that any F32 evaluation of the same expression may have (running error analysis,
// Higham, "Accuracy and Stability of Numerical Algorithms", 3.3). An expression in Reals is a model and its tolerance
// at once.
struct Real {
    double value = 0;
    double error = 0;

    Real() = default;
    Real(double exact) : value(exact) {}
    Real(double v, double e) : value(v), error(e) {}
};

// One operation, rounded: `error` is what its operands bring.
inline Real rounding(double value, double error, double unit = f32_unit) {
    return {value, error + unit * (std::fabs(value) + error) + smallest_normal};
}
inline Real operator-(Real a) { return {-a.value, a.error}; }
inline Real operator+(Real a, Real b) { return rounding(a.value + b.value, a.error + b.error); }
inline Real operator-(Real a, Real b) { return rounding(a.value - b.value, a.error + b.error); }
inline Real operator*(Real a, Real b) {
    return rounding(a.value * b.value, std::fabs(a.value) * b.error + std::fabs(b.value) * a.error + a.error * b.error);
}
inline Real operator/(Real a, Real b) {
    const double least = std::fabs(b.value) - b.error, quotient = a.value / b.value;
    return rounding(quotient, least > 0 ? (a.error + std::fabs(quotient) * b.error) / least : INFINITY);
}
inline Real sqrt(Real a) {
    const double root = std::sqrt(a.value);  // steeper below than above, but at 0
    return rounding(root,
                    std::fmax(root - std::sqrt(std::fmax(0, a.value - a.error)), std::sqrt(a.value + a.error) - root));
}
inline Real exp(Real a) {
    const double value = std::exp(a.value);
    return rounding(value, value * std::expm1(a.error), function_error);
}
inline Real log(Real a) {
    const double value = std::log(a.value), least = a.value - a.error;
    return rounding(value, least > 0 ? a.error / least : INFINITY, function_error);
}

// A sum in any order: n terms and their sum of magnitudes give gamma_n (Higham, 4.2).
class Sum {
public:
    void add(Real term) {
        value_ += term.value;
        error_ += term.error;
        magnitude_ += std::fabs(term.value) + term.error;
        terms_++;
    }
    operator Real() const {
        const double nu = static_cast<double>(terms_ > 0 ? terms_ - 1 : 0) * f32_unit;
        return {value_, error_ + nu / (1 - nu) * magnitude_};
    }

private:
    double value_ = 0, error_ = 0, magnitude_ = 0;
    int64_t terms_ = 0;
};

}  // namespace conformance
