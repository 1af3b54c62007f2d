#include "core/check.h"

using namespace nf4j;

namespace {

bool valid_floats(const Check &check, const char *name, const float *data) {
    return check.not_null(name, data) && check.aligned(name, data, 4);
}

// The arrays of a state in host memory, of the weight's shape.
bool valid_state(const Check &check, const nf4j_nf4_state *state, const nf4j_nf4_weight *weight) {
    constexpr const char *meaning = "state and weight are the same matrix";
    if (!check.options("state", state) ||
        !check.equal({"state", "rows", state->rows}, rows_of("weight", weight), meaning) ||
        !check.equal({"state", "columns", state->cols}, cols_of("weight", weight), meaning) ||
        !check.equal({"state", "elements a block", state->block_size},
                     {"weight", "elements a block", weight->block_size}, meaning) ||
        !check.not_null("state.codes", state->codes) || !valid_floats(check, "state.quant_map", state->quant_map)) {
        return false;
    }
    if (!weight->double_quant) return valid_floats(check, "state.absmax", state->absmax);
    return check.not_null("state.absmax8", state->absmax8) &&
           valid_floats(check, "state.nested_absmax", state->nested_absmax) &&
           valid_floats(check, "state.nested_map", state->nested_map);
}

}  // namespace

int32_t nf4j_nf4_weight_bytes(const nf4j_device *device, int64_t rows, int64_t cols, int64_t block_size,
                              int32_t double_quant, int64_t *bytes) {
    const Check check("nf4_weight_bytes");
    const bool valid = check.not_null("device", device) && check.not_null("bytes", bytes) &&
                       check.weight_shape("weight", rows, cols, block_size, double_quant);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    *bytes = device->backend->nf4_weight_bytes(rows, cols, block_size, double_quant);
    return NF4J_OK;
}

int32_t nf4j_nf4_quantize(nf4j_stream *stream, const nf4j_tensor *w, const nf4j_nf4_weight *weight) {
    const Check check("nf4_quantize");
    constexpr const char *meaning = "w and weight are the same matrix";
    const bool valid = check.stream(stream) && check.tensor("w", w, floats) &&
                       check.weight("weight", weight, stream->device) &&
                       check.equal(rows_of("w", w), rows_of("weight", weight), meaning) &&
                       check.equal(cols_of("w", w), cols_of("weight", weight), meaning) &&
                       check.equal({"w", "elements between rows", w->ld}, cols_of("w", w), "w must be contiguous") &&
                       check.apart({{"weight", weight}}, {{"w", w}}) && check.finite_data(stream, "w", w);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run(&Backend::nf4_quantize, stream, w, weight);
}

int32_t nf4j_nf4_dequantize(nf4j_stream *stream, const nf4j_nf4_weight *weight, int64_t first_row,
                            const nf4j_tensor *out) {
    const Check check("nf4_dequantize");
    const bool valid = check.stream(stream) && check.weight("weight", weight, stream->device) &&
                       check.tensor("out", out, floats) &&
                       check.equal(cols_of("out", out), cols_of("weight", weight), "out is [count, in]") &&
                       check.apart({{"out", out}}, {{"weight", weight}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (first_row < 0 || first_row > weight->rows - out->rows) {
        check.refuse("first_row is %lld and out has %lld rows, weight has %lld", static_cast<long long>(first_row),
                     static_cast<long long>(out->rows), static_cast<long long>(weight->rows));
        return NF4J_INVALID_ARGUMENT;
    }
    if (out->rows == 0) return NF4J_OK;
    return check.run(&Backend::nf4_dequantize, stream, weight, first_row, out);
}

int32_t nf4j_nf4_import(nf4j_stream *stream, const nf4j_nf4_state *state, const nf4j_nf4_weight *weight) {
    const Check check("nf4_import");
    const bool valid =
        check.stream(stream) && check.weight("weight", weight, stream->device) && valid_state(check, state, weight);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run_at_once(&Backend::nf4_import, stream, state, weight);
}

int32_t nf4j_nf4_export(nf4j_stream *stream, const nf4j_nf4_weight *weight, nf4j_nf4_state *state) {
    const Check check("nf4_export");
    const bool valid =
        check.stream(stream) && check.weight("weight", weight, stream->device) && valid_state(check, state, weight);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run_at_once(&Backend::nf4_export, stream, weight, state);
}

int32_t nf4j_nf4_matmul(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_nf4_weight *weight,
                        const nf4j_tensor *bias, const nf4j_tensor *y) {
    const Check check("nf4_matmul");
    constexpr const char *meaning = "x is [m, in], weight [out, in], y [m, out]";
    const bool valid =
        check.stream(stream) && check.tensor("x", x, activations) && check.weight("weight", weight, stream->device) &&
        check.tensor("y", y, {x->dtype}) && check.equal(cols_of("x", x), cols_of("weight", weight), meaning) &&
        check.equal(rows_of("y", y), rows_of("x", x), meaning) &&
        check.equal(cols_of("y", y), rows_of("weight", weight), meaning) &&
        (!bias || check.vector("bias", bias, {NF4J_F32, x->dtype}, rows_of("weight", weight), "bias is [1, out]")) &&
        check.apart({{"y", y}}, {{"x", x}, {"weight", weight}, {"bias", bias}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    return check.run(&Backend::nf4_matmul, stream, x, weight, bias, y);
}

int32_t nf4j_nf4_matmul_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_nf4_weight *weight,
                                 const nf4j_tensor *dx) {
    const Check check("nf4_matmul_backward");
    constexpr const char *meaning = "dy is [m, out], weight [out, in], dx [m, in]";
    const bool valid = check.stream(stream) && check.tensor("dy", dy, activations) &&
                       check.weight("weight", weight, stream->device) && check.tensor("dx", dx, {dy->dtype}) &&
                       check.equal(cols_of("dy", dy), rows_of("weight", weight), meaning) &&
                       check.equal(rows_of("dx", dx), rows_of("dy", dy), meaning) &&
                       check.equal(cols_of("dx", dx), cols_of("weight", weight), meaning) &&
                       check.apart({{"dx", dx}}, {{"dy", dy}, {"weight", weight}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (dy->rows == 0) return NF4J_OK;
    return check.run(&Backend::nf4_matmul_backward, stream, dy, weight, dx);
}
