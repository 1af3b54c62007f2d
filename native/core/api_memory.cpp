#include "core/check.h"

using namespace nf4j;

int32_t nf4j_memory_copy(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst) {
    const Check check("memory_copy");
    const bool valid = check.stream(stream) && check.tensor("src", src, any_type) &&
                       check.tensor("dst", dst, {src->dtype}) && check.same_shape("dst", dst, "src", src) &&
                       check.apart({{"dst", dst}}, {{"src", src}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run(&Backend::memory_copy, stream, src, dst);
}

int32_t nf4j_memory_fill(nf4j_stream *stream, double value, const nf4j_tensor *dst) {
    const Check check("memory_fill");
    const bool valid =
        check.stream(stream) && check.tensor("dst", dst, any_type) && check.fits("value", value, dst->dtype);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run(&Backend::memory_fill, stream, value, dst);
}

int32_t nf4j_memory_cast(nf4j_stream *stream, const nf4j_tensor *src, const nf4j_tensor *dst) {
    const Check check("memory_cast");
    const bool valid = check.stream(stream) && check.tensor("src", src, floats) && check.tensor("dst", dst, floats) &&
                       check.same_shape("dst", dst, "src", src) && check.apart({{"dst", dst}}, {{"src", src}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run(&Backend::memory_cast, stream, src, dst);
}

int32_t nf4j_memory_add(nf4j_stream *stream, const nf4j_tensor *a, const nf4j_tensor *b, const nf4j_tensor *y) {
    const Check check("memory_add");
    const bool valid = check.stream(stream) && check.tensor("a", a, activations) && check.tensor("b", b, {a->dtype}) &&
                       check.tensor("y", y, {a->dtype}) && check.same_shape("b", b, "a", a) &&
                       check.same_shape("y", y, "a", a) &&
                       check.apart({{"y", y}}, {in_place("a", a, y), in_place("b", b, y)});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run(&Backend::memory_add, stream, a, b, y);
}
