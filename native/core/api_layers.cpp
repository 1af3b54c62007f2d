// Norm, rope, mlp and embedding.
#include "core/check.h"

using namespace nf4j;

int32_t nf4j_norm_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *weight, float eps,
                          const nf4j_tensor *rstd, const nf4j_tensor *y) {
    const Check check("norm_forward");
    constexpr const char *meaning = "x and y are [m, n], weight [1, n], rstd [1, m]";
    const bool valid =
        check.stream(stream) && check.tensor("x", x, activations) && check.at_least("x.cols", x->cols, 1) &&
        check.vector("weight", weight, {NF4J_F32, x->dtype}, cols_of("x", x), meaning) &&
        check.not_negative("eps", eps) && check.vector("rstd", rstd, {NF4J_F32}, rows_of("x", x), meaning) &&
        check.tensor("y", y, {x->dtype}) && check.same_shape("y", y, "x", x) &&
        check.apart({{"rstd", rstd}, {"y", y}}, {{"x", x}, {"weight", weight}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    return check.run(&Backend::norm_forward, stream, x, weight, eps, rstd, y);
}

int32_t nf4j_norm_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *x, const nf4j_tensor *weight,
                           const nf4j_tensor *rstd, int32_t accumulate_dx, const nf4j_tensor *dweight,
                           const nf4j_tensor *dx) {
    const Check check("norm_backward");
    constexpr const char *meaning = "x, dy and dx are [m, n], weight and dweight [1, n], rstd [1, m]";
    const bool valid =
        check.stream(stream) && check.tensor("dy", dy, activations) && check.at_least("dy.cols", dy->cols, 1) &&
        check.tensor("x", x, {dy->dtype}) && check.same_shape("x", x, "dy", dy) &&
        check.vector("weight", weight, {NF4J_F32, x->dtype}, cols_of("x", x), meaning) &&
        check.vector("rstd", rstd, {NF4J_F32}, rows_of("x", x), meaning) &&
        check.flag("accumulate_dx", accumulate_dx) &&
        (!dweight || check.vector("dweight", dweight, {NF4J_F32}, cols_of("x", x), meaning)) &&
        check.tensor("dx", dx, {dy->dtype}) && check.same_shape("dx", dx, "dy", dy) &&
        check.apart({{"dweight", dweight}, {"dx", dx}}, {accumulate_dx ? Region("dy", dy) : in_place("dy", dy, dx),
                                                         {"x", x},
                                                         {"weight", weight},
                                                         {"rstd", rstd}}) &&
        check.apart({{"dweight", dweight}}, {{"dy", dy}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    return check.run(&Backend::norm_backward, stream, dy, x, weight, rstd, accumulate_dx, dweight, dx);
}

int32_t nf4j_rope_table(nf4j_stream *stream, const nf4j_tensor *positions, const nf4j_tensor *inv_freq, float scale,
                        const nf4j_tensor *table) {
    const Check check("rope_table");
    constexpr const char *meaning = "positions is [1, m], inv_freq [1, head_dim / 2], table [m, head_dim]";
    const bool valid =
        check.stream(stream) && check.tensor("table", table, {NF4J_F32}) && check.even("table.cols", table->cols) &&
        check.vector("positions", positions, {NF4J_I32}, rows_of("table", table), meaning) &&
        check.vector("inv_freq", inv_freq, {NF4J_F32}, {"half of table", "columns", table->cols / 2}, meaning) &&
        check.finite("scale", scale) &&
        check.apart({{"table", table}}, {{"positions", positions}, {"inv_freq", inv_freq}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (table->rows == 0) return NF4J_OK;
    return check.run(&Backend::rope_table, stream, positions, inv_freq, scale, table);
}

namespace {

bool valid_rotation(const Check &check, const nf4j_stream *stream, const char *x_name, const nf4j_tensor *x,
                    const nf4j_tensor *table, const char *y_name, const nf4j_tensor *y) {
    if (!check.stream(stream) || !check.tensor(x_name, x, activations) || !check.tensor("table", table, {NF4J_F32}) ||
        !check.even("table.cols", table->cols) ||
        !check.equal(rows_of(x_name, x), rows_of("table", table), "one row for each token")) {
        return false;
    }
    if (x->cols % table->cols != 0) {
        return check.refuse("%s has %lld columns, expected a multiple of the %lld of table (heads of head_dim columns)",
                            x_name, static_cast<long long>(x->cols), static_cast<long long>(table->cols));
    }
    return check.tensor(y_name, y, {x->dtype}) && check.same_shape(y_name, y, x_name, x) &&
           check.apart({{y_name, y}}, {in_place(x_name, x, y), {"table", table}});
}

}  // namespace

int32_t nf4j_rope_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *table, const nf4j_tensor *y) {
    const Check check("rope_forward");
    if (!valid_rotation(check, stream, "x", x, table, "y", y)) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    return check.run(&Backend::rope_forward, stream, x, table, y);
}

int32_t nf4j_rope_backward(nf4j_stream *stream, const nf4j_tensor *dy, const nf4j_tensor *table,
                           const nf4j_tensor *dx) {
    const Check check("rope_backward");
    if (!valid_rotation(check, stream, "dy", dy, table, "dx", dx)) return NF4J_INVALID_ARGUMENT;
    if (dy->rows == 0) return NF4J_OK;
    return check.run(&Backend::rope_backward, stream, dy, table, dx);
}

int32_t nf4j_mlp_swiglu_forward(nf4j_stream *stream, const nf4j_tensor *gate, const nf4j_tensor *up,
                                const nf4j_tensor *h) {
    const Check check("mlp_swiglu_forward");
    const bool valid = check.stream(stream) && check.tensor("gate", gate, activations) &&
                       check.tensor("up", up, {gate->dtype}) && check.tensor("h", h, {gate->dtype}) &&
                       check.same_shape("up", up, "gate", gate) && check.same_shape("h", h, "gate", gate) &&
                       check.apart({{"h", h}}, {in_place("gate", gate, h), in_place("up", up, h)});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (gate->rows == 0) return NF4J_OK;
    return check.run(&Backend::mlp_swiglu_forward, stream, gate, up, h);
}

int32_t nf4j_mlp_swiglu_backward(nf4j_stream *stream, const nf4j_tensor *dh, const nf4j_tensor *gate,
                                 const nf4j_tensor *up, const nf4j_tensor *dgate, const nf4j_tensor *dup) {
    const Check check("mlp_swiglu_backward");
    const bool valid =
        check.stream(stream) && check.tensor("dh", dh, activations) && check.tensor("gate", gate, {dh->dtype}) &&
        check.tensor("up", up, {dh->dtype}) && check.tensor("dgate", dgate, {dh->dtype}) &&
        check.tensor("dup", dup, {dh->dtype}) && check.same_shape("gate", gate, "dh", dh) &&
        check.same_shape("up", up, "dh", dh) && check.same_shape("dgate", dgate, "dh", dh) &&
        check.same_shape("dup", dup, "dh", dh) &&
        check.apart({{"dgate", dgate}}, {{"dh", dh}, in_place("gate", gate, dgate), {"up", up}, {"dup", dup}}) &&
        check.apart({{"dup", dup}}, {{"dh", dh}, {"gate", gate}, in_place("up", up, dup)});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (dh->rows == 0) return NF4J_OK;
    return check.run(&Backend::mlp_swiglu_backward, stream, dh, gate, up, dgate, dup);
}

int32_t nf4j_embedding_forward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *table,
                               const nf4j_tensor *y) {
    const Check check("embedding_forward");
    constexpr const char *meaning = "ids is [1, m], table [vocabulary, n], y [m, n]";
    const bool valid =
        check.stream(stream) && check.tensor("table", table, activations) && check.tensor("y", y, activations) &&
        check.vector("ids", ids, {NF4J_I32}, rows_of("y", y), meaning) &&
        check.equal(cols_of("y", y), cols_of("table", table), meaning) &&
        check.apart({{"y", y}}, {{"ids", ids}, {"table", table}}) && check.indices(stream, "ids", ids, table->rows);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (y->rows == 0) return NF4J_OK;
    return check.run(&Backend::embedding_forward, stream, ids, table, y);
}

int32_t nf4j_embedding_backward(nf4j_stream *stream, const nf4j_tensor *ids, const nf4j_tensor *dy,
                                const nf4j_tensor *dtable) {
    const Check check("embedding_backward");
    constexpr const char *meaning = "ids is [1, m], dy [m, n], dtable [vocabulary, n]";
    const bool valid = check.stream(stream) && check.tensor("dy", dy, activations) &&
                       check.tensor("dtable", dtable, {NF4J_F32}) &&
                       check.vector("ids", ids, {NF4J_I32}, rows_of("dy", dy), meaning) &&
                       check.equal(cols_of("dy", dy), cols_of("dtable", dtable), meaning) &&
                       check.apart({{"dtable", dtable}}, {{"ids", ids}, {"dy", dy}}) &&
                       check.indices(stream, "ids", ids, dtable->rows);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (dy->rows == 0) return NF4J_OK;
    return check.run(&Backend::embedding_backward, stream, ids, dy, dtable);
}
