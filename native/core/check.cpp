#include "core/check.h"

#include "core/dtype.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace nf4j {

namespace {

// "F32", "F32 or BF16".
void list_types(Types types, char *text, size_t capacity) {
    size_t used = 0;
    text[0] = 0;
    for (const int32_t *type = types.begin(); type != types.end(); type++) {
        if (std::find(types.begin(), type, *type) != type) continue;  // named before
        const char *separator = used == 0 ? "" : " or ";
        used += static_cast<size_t>(std::snprintf(text + used, capacity - used, "%s%s", separator, dtype_name(*type)));
    }
}

// The bytes from the first element to behind the last one; false when they are no int64_t.
bool span_bytes(int64_t rows, int64_t cols, int64_t ld, int64_t element_size, int64_t *bytes) {
    if (rows == 0 || cols == 0) {
        *bytes = 0;
        return true;
    }
    int64_t elements;
    return !__builtin_mul_overflow(rows - 1, ld, &elements) && !__builtin_add_overflow(elements, cols, &elements) &&
           !__builtin_mul_overflow(elements, element_size, bytes);
}

}  // namespace

bool overlap(const Region &a, const Region &b) {
    if (a.rows == 0 || b.rows == 0 || a.width == 0 || b.width == 0) return false;
    const auto a_begin = reinterpret_cast<uintptr_t>(a.data);
    const auto b_begin = reinterpret_cast<uintptr_t>(b.data);
    const uintptr_t a_end = a_begin + static_cast<uintptr_t>((a.rows - 1) * a.stride + a.width);
    const uintptr_t b_end = b_begin + static_cast<uintptr_t>((b.rows - 1) * b.stride + b.width);
    if (a_end <= b_begin || b_end <= a_begin) return false;
    if (a.stride != b.stride) return true;
    // Columns of one wide matrix, as q, k and v often are: apart when b's columns begin behind a's and end before a's
    // next row.
    const auto stride = static_cast<uintptr_t>(a.stride);
    const uintptr_t shift =
        b_begin >= a_begin ? (b_begin - a_begin) % stride : stride - 1 - (a_begin - b_begin - 1) % stride;
    return shift < static_cast<uintptr_t>(a.width) || shift + static_cast<uintptr_t>(b.width) > stride;
}

Region::Region(const char *name_, const nf4j_tensor *x)
    : name(name_),
      data(x ? x->data : nullptr),
      rows(x ? x->rows : 0),
      width(x ? x->cols * dtype_size(x->dtype) : 0),
      stride(x ? x->ld * dtype_size(x->dtype) : 0) {}

Region::Region(const char *name_, const nf4j_nf4_weight *weight)
    : Region(name_, weight ? weight->data : nullptr, weight ? weight->bytes : 0) {}

Region::Region(const char *name_, const void *data_, int64_t bytes)
    : name(name_), data(data_), rows(data_ ? 1 : 0), width(bytes), stride(bytes) {}

Region in_place(const char *name, const nf4j_tensor *x, const nf4j_tensor *out) {
    const bool same = x && x->data == out->data && x->ld == out->ld && x->dtype == out->dtype;
    return Region(name, same ? nullptr : x);
}

bool Check::refuse(const char *format, ...) const {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fail(NF4J_INVALID_ARGUMENT, "%s: %s", function_, text);
    return false;
}

int32_t Check::refuse_lost() const {
    return fail(NF4J_DEVICE_LOST,
                "%s: the device was lost in an earlier call: close what was made from it, then the device", function_);
}

int32_t Check::refuse_captured(const char *what) const {
    return fail(NF4J_UNSUPPORTED, "%s: not while %s is captured: nothing runs before nf4j_graph_launch", function_,
                what);
}

bool Check::not_null(const char *name, const void *pointer) const { return pointer || refuse("%s is null", name); }

bool Check::stream(const nf4j_stream *stream) const { return not_null("stream", stream); }

bool Check::flag(const char *name, int32_t value) const {
    return value == 0 || value == 1 || refuse("%s is %d, expected 0 or 1", name, value);
}

bool Check::zero(const char *name, int64_t value) const {
    return value == 0 || refuse("%s is %lld, expected 0", name, static_cast<long long>(value));
}

bool Check::at_least(const char *name, int64_t value, int64_t minimum) const {
    return value >= minimum || refuse("%s is %lld, expected at least %lld", name, static_cast<long long>(value),
                                      static_cast<long long>(minimum));
}

bool Check::finite(const char *name, double value) const {
    return std::isfinite(value) || refuse("%s is %g, expected a finite number", name, value);
}

bool Check::not_negative(const char *name, double value) const {
    return (std::isfinite(value) && value >= 0) || refuse("%s is %g, expected a finite number >= 0", name, value);
}

bool Check::even(const char *name, int64_t value) const {
    return (value >= 2 && value % 2 == 0) ||
           refuse("%s is %lld, expected a positive even number", name, static_cast<long long>(value));
}

bool Check::aligned(const char *name, const void *data, int64_t alignment) const {
    return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(alignment) == 0 ||
           refuse("%s is at %p, expected an address that is a multiple of %lld", name, data,
                  static_cast<long long>(alignment));
}

bool Check::text(const char *text, int64_t capacity) const {
    return not_null("text", text) && at_least("capacity", capacity, 1);
}

bool Check::struct_size(const char *name, const void *options, uint32_t size, uint32_t first, uint32_t known) const {
    constexpr uint32_t largest = 4096;  // more is an uninitialised field, not a newer header
    if ((size < known && size != first) || size > largest) {
        return refuse("%s.struct_size is %u, expected %u (set it to sizeof(*%s))", name, size, known, name);
    }
    const auto *bytes = static_cast<const unsigned char *>(options);
    for (uint32_t i = known; i < size; i++) {
        if (bytes[i] != 0) {
            return refuse("%s has a field at byte %u that this library (%s) does not know; it must be 0", name, i,
                          nf4j_version());
        }
    }
    return true;
}

bool Check::tensor(const char *name, const nf4j_tensor *x, Types types) const {
    if (!not_null(name, x)) return false;
    if (std::find(types.begin(), types.end(), x->dtype) == types.end()) {
        char expected[64];
        list_types(types, expected, sizeof expected);
        const char *actual = dtype_name(x->dtype);
        return actual ? refuse("%s is %s, expected %s", name, actual, expected)
                      : refuse("%s has the unknown dtype 0x%04x, expected %s", name, static_cast<unsigned>(x->dtype),
                               expected);
    }
    if (x->rows < 0 || x->cols < 0) {
        return refuse("%s has the shape [%lld, %lld], expected no negative size", name, static_cast<long long>(x->rows),
                      static_cast<long long>(x->cols));
    }
    if (x->ld < x->cols) {
        return refuse("%s.ld is %lld, expected at least its %lld columns", name, static_cast<long long>(x->ld),
                      static_cast<long long>(x->cols));
    }
    if (x->reserved != 0) return refuse("%s.reserved is %d, expected 0", name, x->reserved);
    const int64_t element_size = dtype_size(x->dtype);
    int64_t bytes, row_bytes;
    if (!span_bytes(x->rows, x->cols, x->ld, element_size, &bytes) ||
        __builtin_mul_overflow(x->ld, element_size, &row_bytes)) {
        return refuse("%s of [%lld, %lld] with ld %lld does not fit into 64-bit addresses", name,
                      static_cast<long long>(x->rows), static_cast<long long>(x->cols), static_cast<long long>(x->ld));
    }
    if (bytes > 0 && !x->data) return refuse("%s.data is null", name);
    return aligned(name, x->data, element_size);
}

bool Check::vector(const char *name, const nf4j_tensor *x, Types types, const Extent &length,
                   const char *meaning) const {
    return tensor(name, x, types) && equal(rows_of(name, x), {"a vector", "row", 1}, meaning) &&
           equal(cols_of(name, x), length, meaning);
}

bool Check::equal(const Extent &a, const Extent &b, const char *meaning) const {
    if (a.value == b.value) return true;
    const bool same_unit = std::strcmp(a.unit, b.unit) == 0;
    return refuse("%s has %lld %s, %s has %lld%s%s (%s)", a.name, static_cast<long long>(a.value), a.unit, b.name,
                  static_cast<long long>(b.value), same_unit ? "" : " ", same_unit ? "" : b.unit, meaning);
}

bool Check::same_shape(const char *name, const nf4j_tensor *x, const char *other_name, const nf4j_tensor *other) const {
    return (x->rows == other->rows && x->cols == other->cols) ||
           refuse("%s is [%lld, %lld], %s is [%lld, %lld], expected the same shape", name,
                  static_cast<long long>(x->rows), static_cast<long long>(x->cols), other_name,
                  static_cast<long long>(other->rows), static_cast<long long>(other->cols));
}

bool Check::weight_shape(const char *name, int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant) const {
    int64_t elements;
    if (rows < 1 || cols < 1 || __builtin_mul_overflow(rows, cols, &elements) || elements > INT64_MAX / 16) {
        return refuse("%s is [%lld, %lld], expected positive sizes whose product fits into memory", name,
                      static_cast<long long>(rows), static_cast<long long>(cols));
    }
    const bool power_of_two = block_size > 0 && (block_size & (block_size - 1)) == 0;
    if (!power_of_two || block_size < 32 || block_size > 4096) {
        return refuse("block_size is %lld, expected 32, 64, 128, 256, 512, 1024, 2048 or 4096",
                      static_cast<long long>(block_size));
    }
    return flag("double_quant", double_quant);
}

bool Check::weight(const char *name, const nf4j_nf4_weight *weight, const nf4j_device *device) const {
    if (!options(name, weight) ||
        !weight_shape(name, weight->rows, weight->cols, weight->block_size, weight->double_quant)) {
        return false;
    }
    if (!weight->data) return refuse("%s.data is null", name);
    if (!aligned(name, weight->data, 64)) return false;
    const int64_t needed =
        device->backend->nf4_weight_bytes(weight->rows, weight->cols, weight->block_size, weight->double_quant);
    return weight->bytes >= needed ||
           refuse("%s.bytes is %lld, expected at least %lld for [%lld, %lld] on %s (see nf4j_nf4_weight_bytes)", name,
                  static_cast<long long>(weight->bytes), static_cast<long long>(needed),
                  static_cast<long long>(weight->rows), static_cast<long long>(weight->cols), device->backend->name);
}

bool Check::apart(std::initializer_list<Region> outputs, std::initializer_list<Region> inputs) const {
    for (const Region *out = outputs.begin(); out != outputs.end(); out++) {
        for (const Region &in : inputs) {
            if (overlap(*out, in)) return refuse("%s and %s overlap in memory", out->name, in.name);
        }
        for (const Region *other = out + 1; other != outputs.end(); other++) {
            if (overlap(*out, *other)) return refuse("%s and %s overlap in memory", out->name, other->name);
        }
    }
    return true;
}

}  // namespace nf4j
