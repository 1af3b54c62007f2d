// Argument checks. Every function of nf4j.h makes one Check and joins its predicates with &&: each returns whether the
// argument is as it should be, and if not has set the last error, which begins with the function's name.
#pragma once

#include "core/backend.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace nf4j {

using Types = std::initializer_list<int32_t>;

// A length as texts name it: "x has 96 columns".
struct Extent {
    const char *name;
    const char *unit;
    int64_t value;
};

// Of a tensor or a quantized weight.
template <typename Matrix>
Extent rows_of(const char *name, const Matrix *x) {
    return {name, "rows", x->rows};
}

template <typename Matrix>
Extent cols_of(const char *name, const Matrix *x) {
    return {name, "columns", x->cols};
}

// The memory of an argument: `rows` pieces of `width` bytes, `stride` bytes apart. An absent argument has no rows.
struct Region {
    const char *name;
    const void *data;
    int64_t rows;
    int64_t width;
    int64_t stride;

    Region(const char *name, const nf4j_tensor *x);
    Region(const char *name, const nf4j_nf4_weight *weight);
    Region(const char *name, const void *data, int64_t bytes);
};

// Whether they have a byte in common.
bool overlap(const Region &a, const Region &b);

// The memory of x, but none where x is exactly `out`: for operations that work in place.
Region in_place(const char *name, const nf4j_tensor *x, const nf4j_tensor *out);

// The size of a struct in the first header that had it.
template <typename T>
inline constexpr uint32_t first_size = sizeof(T);
template <>
inline constexpr uint32_t first_size<nf4j_lora> = offsetof(nf4j_lora, device_seed);
template <>
inline constexpr uint32_t first_size<nf4j_adamw_options> = offsetof(nf4j_adamw_options, device_step);

class Check {
public:
    explicit Check(const char *function) : function_(function) {}

    // Fails with "<function>: <format ...>"; returns false.
    bool refuse(const char *format, ...) const __attribute__((format(printf, 2, 3)));

    bool not_null(const char *name, const void *pointer) const;
    bool stream(const nf4j_stream *stream) const;
    bool zero(const char *name, int64_t value) const;
    bool flag(const char *name, int32_t value) const;
    bool at_least(const char *name, int64_t value, int64_t minimum) const;
    bool finite(const char *name, double value) const;
    bool not_negative(const char *name, double value) const;
    bool even(const char *name, int64_t value) const;
    bool aligned(const char *name, const void *data, int64_t alignment) const;
    bool text(const char *text, int64_t capacity) const;

    // An option struct: not null, of the size that it has in this library or had at first, and with nothing but zeros where
    // it is larger.
    template <typename T>
    bool options(const char *name, const T *options) const {
        return not_null(name, options) &&
               struct_size(name, options, options->struct_size, first_size<T>, static_cast<uint32_t>(sizeof(T)));
    }
    // Such a struct with all fields that this library knows.
    template <typename T>
    static T complete(const T *options) {
        T whole = {};
        std::memcpy(&whole, options, std::min<size_t>(options->struct_size, sizeof(T)));
        return whole;
    }

    // A tensor of one of these types whose memory is addressable and aligned.
    bool tensor(const char *name, const nf4j_tensor *x, Types types) const;
    // The same of one row with as many columns as `length` says.
    bool vector(const char *name, const nf4j_tensor *x, Types types, const Extent &length, const char *meaning) const;
    // `meaning` explains the shapes, as in "x is [m, in], weight [out, in]".
    bool equal(const Extent &a, const Extent &b, const char *meaning) const;
    bool same_shape(const char *name, const nf4j_tensor *x, const char *other_name, const nf4j_tensor *other) const;
    bool weight_shape(const char *name, int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant) const;
    // A quantized weight in the memory of `device`.
    bool weight(const char *name, const nf4j_nf4_weight *weight, const nf4j_device *device) const;

    // No byte of an output lies in an input or in another output.
    bool apart(std::initializer_list<Region> outputs, std::initializer_list<Region> inputs) const;

    // `value`, rounded, is a number of type `dtype`.
    bool fits(const char *name, double value, int32_t dtype) const;

    // Checks of data, on devices whose memory is ordinary memory; elsewhere they pass, and while the stream is captured.
    // Every element is finite.
    bool finite_data(const nf4j_stream *stream, const char *name, const nf4j_tensor *x) const;
    // Every element of a vector of I32 is in [0, limit), or is `also`.
    bool indices(const nf4j_stream *stream, const char *name, const nf4j_tensor *x, int64_t limit,
                 int32_t also = 0) const;

    // Calls the backend's function, if it has one and the device is not lost.
    template <typename Function, typename... Arguments>
    int32_t call(Function Backend::*function, const nf4j_device *device, Arguments... arguments) const {
        const Backend *backend = device->backend;
        if (!(backend->*function)) {
            return fail(NF4J_UNSUPPORTED, "%s: the %s backend does not have it", function_, backend->name);
        }
        if (device->lost.load(std::memory_order_relaxed)) return refuse_lost();
        const int32_t status = (backend->*function)(arguments...);
        if (status == NF4J_DEVICE_LOST) device->lost.store(true, std::memory_order_relaxed);
        return status;
    }
    // The same for what is queued on a stream. A graph of calls that failed would lack some of them.
    template <typename Function, typename... Arguments>
    int32_t run(Function Backend::*operation, nf4j_stream *stream, Arguments... arguments) const {
        const int32_t status = call(operation, stream->device, stream, arguments...);
        if (stream->capturing && stream->capture_status == NF4J_OK) stream->capture_status = status;
        return status;
    }
    // The same for what cannot be part of a graph.
    template <typename Function, typename... Arguments>
    int32_t run_at_once(Function Backend::*operation, nf4j_stream *stream, Arguments... arguments) const {
        return stream->capturing ? refuse_captured("the stream") : run(operation, stream, arguments...);
    }
    int32_t refuse_captured(const char *what) const;

private:
    int32_t refuse_lost() const;
    bool struct_size(const char *name, const void *options, uint32_t size, uint32_t first, uint32_t known) const;

    const char *function_;
};

// The types of activations, and of what may also be kept in F16.
inline constexpr Types activations = {NF4J_F32, NF4J_BF16};
inline constexpr Types any_type = {NF4J_F32, NF4J_F16, NF4J_BF16, NF4J_I32, NF4J_I64, NF4J_U8};
inline constexpr Types floats = {NF4J_F32, NF4J_F16, NF4J_BF16};

}  // namespace nf4j
