// The checks that read data.
#include "core/check.h"
#include "core/dtype.h"

#include <cmath>
#include <cstdio>

namespace nf4j {

namespace {

// On a device whose memory is ordinary memory, unless the data comes later than the call.
bool readable(const nf4j_stream *stream) { return stream->device->info.host_accessible != 0 && !stream->capturing; }

// The first row with an element that is NaN or infinite, whose exponent bits are all ones; -1 if there is none.
template <typename Bits>
int64_t non_finite_row(const nf4j_tensor *x, Bits exponent) {
    for (int64_t i = 0; i < x->rows; i++) {
        const Bits *row = static_cast<const Bits *>(x->data) + i * x->ld;
        int found = 0;
        for (int64_t j = 0; j < x->cols; j++) found |= (row[j] & exponent) == exponent;
        if (found) return i;
    }
    return -1;
}

float element(const nf4j_tensor *x, int64_t i, int64_t j) {
    const int64_t at = i * x->ld + j;
    switch (x->dtype) {
        case NF4J_BF16: return to_f32(static_cast<const bf16 *>(x->data)[at]);
        case NF4J_F16: return to_f32(static_cast<const f16 *>(x->data)[at]);
        default: return static_cast<const float *>(x->data)[at];
    }
}

}  // namespace

bool Check::fits(const char *name, double value, int32_t dtype) const {
    const double rounded = std::nearbyint(value);
    bool inside = true;
    if (dtype == NF4J_I32) inside = rounded >= -0x1p31 && rounded < 0x1p31;
    if (dtype == NF4J_I64) inside = rounded >= -0x1p63 && rounded < 0x1p63;
    if (dtype == NF4J_U8) inside = rounded >= 0 && rounded < 256;
    return inside || refuse("%s is %g, which is no %s", name, value, dtype_name(dtype));
}

bool Check::finite_data(const nf4j_stream *stream, const char *name, const nf4j_tensor *x) const {
    if (!readable(stream)) return true;
    const int64_t row = x->dtype == NF4J_F32    ? non_finite_row<uint32_t>(x, 0x7f800000u)
                        : x->dtype == NF4J_BF16 ? non_finite_row<uint16_t>(x, 0x7f80u)
                                                : non_finite_row<uint16_t>(x, 0x7c00u);
    if (row < 0) return true;
    int64_t column = 0;
    while (std::isfinite(element(x, row, column))) column++;
    return refuse("%s has %g at (%lld, %lld), expected finite numbers", name,
                  static_cast<double>(element(x, row, column)), static_cast<long long>(row),
                  static_cast<long long>(column));
}

bool Check::indices(const nf4j_stream *stream, const char *name, const nf4j_tensor *x, int64_t limit,
                    int32_t also) const {
    if (!readable(stream)) return true;
    const auto *values = static_cast<const int32_t *>(x->data);
    for (int64_t i = 0; i < x->cols; i++) {
        if ((values[i] >= 0 && values[i] < limit) || values[i] == also) continue;
        char alternative[24] = "";
        if (also != 0) std::snprintf(alternative, sizeof alternative, " or %d", also);
        return refuse("%s has %d at %lld, expected 0 ... %lld%s", name, values[i], static_cast<long long>(i),
                      static_cast<long long>(limit - 1), alternative);
    }
    return true;
}

}  // namespace nf4j
