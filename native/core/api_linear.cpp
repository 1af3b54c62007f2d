// Dense products, LoRA, and the output layer's loss: what takes an nf4j_linear.
#include "core/check.h"

using namespace nf4j;

namespace {

// An nf4j_linear and what texts call it.
struct Layer {
    const nf4j_linear *linear;
    const char *name, *reserved_name, *dense_name, *nf4_name, *bias_name;

    Extent out() const { return linear->dense ? rows_of(name, linear->dense) : rows_of(name, linear->nf4); }
    Extent in() const { return linear->dense ? cols_of(name, linear->dense) : cols_of(name, linear->nf4); }
    Region weight() const { return linear->dense ? Region(dense_name, linear->dense) : Region(nf4_name, linear->nf4); }
    Region bias() const { return {bias_name, linear->bias}; }

    // A layer that is right in itself and fits activations of x's type.
    bool valid(const Check &check, const nf4j_stream *stream, const nf4j_tensor *x) const {
        if (!check.options(name, linear) || !check.zero(reserved_name, linear->reserved)) return false;
        if (!linear->dense == !linear->nf4) {
            return check.refuse("%s and %s are %s, expected exactly one of them", dense_name, nf4_name,
                                linear->dense ? "both given" : "both null");
        }
        const bool weight = linear->dense ? check.tensor(dense_name, linear->dense, activations)
                                          : check.weight(nf4_name, linear->nf4, stream->device);
        return weight && (!linear->bias ||
                          check.vector(bias_name, linear->bias, {NF4J_F32, x->dtype}, out(), "a bias is [1, out]"));
    }
};

Layer base_layer(const nf4j_linear *base) {
    return {base, "base", "base.reserved", "base.dense", "base.nf4", "base.bias"};
}

Layer head_layer(const nf4j_linear *head) {
    return {head, "head", "head.reserved", "head.dense", "head.nf4", "head.bias"};
}

// An adapter that fits the layer.
bool valid_lora(const Check &check, const nf4j_lora *lora, const Layer &base) {
    constexpr const char *meaning = "base is [out, in], a [rank, in], b [out, rank]";
    if (!check.options("lora", lora) || !check.flag("lora.rank_stabilized", lora->rank_stabilized) ||
        !check.finite("lora.alpha", lora->alpha)) {
        return false;
    }
    if (!(lora->dropout >= 0 && lora->dropout < 1)) {
        return check.refuse("lora.dropout is %g, expected 0 <= dropout < 1", static_cast<double>(lora->dropout));
    }
    return check.aligned("lora.device_seed", Check::complete(lora).device_seed, 8) &&
           check.tensor("lora.a", lora->a, activations) && check.tensor("lora.b", lora->b, activations) &&
           check.at_least("the rank (rows of lora.a)", lora->a->rows, 1) &&
           check.equal(cols_of("lora.a", lora->a), base.in(), meaning) &&
           check.equal(rows_of("lora.b", lora->b), base.out(), meaning) &&
           check.equal(cols_of("lora.b", lora->b), rows_of("lora.a", lora->a), meaning);
}

}  // namespace

int32_t nf4j_dense_matmul(nf4j_stream *stream, const nf4j_matmul_options *options, const nf4j_tensor *a,
                          const nf4j_tensor *b, const nf4j_tensor *bias, const nf4j_tensor *c) {
    const Check check("dense_matmul");
    if (!check.stream(stream) || !check.options("options", options) ||
        !check.flag("options.transpose_a", options->transpose_a) ||
        !check.flag("options.transpose_b", options->transpose_b) || !check.finite("options.alpha", options->alpha) ||
        !check.finite("options.beta", options->beta) || !check.zero("options.reserved", options->reserved) ||
        !check.tensor("a", a, activations) || !check.tensor("b", b, activations) ||
        !check.tensor("c", c, activations)) {
        return NF4J_INVALID_ARGUMENT;
    }
    const Extent m = options->transpose_a ? cols_of("a", a) : rows_of("a", a);
    const Extent a_k = options->transpose_a ? rows_of("a", a) : cols_of("a", a);
    const Extent b_k = options->transpose_b ? cols_of("b", b) : rows_of("b", b);
    const Extent n = options->transpose_b ? rows_of("b", b) : cols_of("b", b);
    constexpr const char *meaning = "a is [m, k] or transposed [k, m], b [k, n] or transposed [n, k], c [m, n]";
    const bool valid = check.equal(a_k, b_k, meaning) && check.equal(rows_of("c", c), m, meaning) &&
                       check.equal(cols_of("c", c), n, meaning) &&
                       (!bias || check.vector("bias", bias, activations, cols_of("c", c), "bias is [1, n]")) &&
                       check.apart({{"c", c}}, {{"a", a}, {"b", b}, {"bias", bias}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (c->rows == 0 || c->cols == 0) return NF4J_OK;
    return check.run(&Backend::dense_matmul, stream, options, a, b, bias, c);
}

int32_t nf4j_lora_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                          const nf4j_tensor *u, const nf4j_tensor *y) {
    const Check check("lora_forward");
    const Layer layer = base_layer(base);
    constexpr const char *meaning = "x is [m, in], base [out, in], u [m, rank], y [m, out]";
    const bool valid =
        check.stream(stream) && check.tensor("x", x, activations) && layer.valid(check, stream, x) &&
        valid_lora(check, lora, layer) && check.tensor("u", u, {NF4J_F32}) && check.tensor("y", y, {x->dtype}) &&
        check.equal(cols_of("x", x), layer.in(), meaning) && check.equal(rows_of("u", u), rows_of("x", x), meaning) &&
        check.equal(cols_of("u", u), {"lora.a", "rows", lora->a->rows}, meaning) &&
        check.equal(rows_of("y", y), rows_of("x", x), meaning) && check.equal(cols_of("y", y), layer.out(), meaning) &&
        check.apart({{"u", u}, {"y", y}},
                    {{"x", x}, layer.weight(), layer.bias(), {"lora.a", lora->a}, {"lora.b", lora->b}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    const nf4j_lora adapter = Check::complete(lora);
    return check.run(&Backend::lora_forward, stream, x, base, &adapter, u, y);
}

int32_t nf4j_lora_backward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *dy, const nf4j_tensor *u,
                           const nf4j_linear *base, const nf4j_lora *lora, int32_t accumulate_dx, const nf4j_tensor *da,
                           const nf4j_tensor *db, const nf4j_tensor *dx) {
    const Check check("lora_backward");
    const Layer layer = base_layer(base);
    constexpr const char *meaning = "x and dx are [m, in], dy [m, out], u [m, rank], base [out, in], da as a, db as b";
    const bool valid =
        check.stream(stream) && check.tensor("x", x, activations) && check.tensor("dy", dy, {x->dtype}) &&
        check.tensor("u", u, {NF4J_F32}) && layer.valid(check, stream, x) && valid_lora(check, lora, layer) &&
        check.flag("accumulate_dx", accumulate_dx) && check.tensor("da", da, {NF4J_F32}) &&
        check.tensor("db", db, {NF4J_F32}) && (!dx || check.tensor("dx", dx, {x->dtype})) &&
        check.equal(cols_of("x", x), layer.in(), meaning) && check.equal(rows_of("dy", dy), rows_of("x", x), meaning) &&
        check.equal(cols_of("dy", dy), layer.out(), meaning) &&
        check.equal(rows_of("u", u), rows_of("x", x), meaning) &&
        check.equal(cols_of("u", u), {"lora.a", "rows", lora->a->rows}, meaning) &&
        check.same_shape("da", da, "lora.a", lora->a) && check.same_shape("db", db, "lora.b", lora->b) &&
        (!dx || check.same_shape("dx", dx, "x", x)) &&
        check.apart(
            {{"da", da}, {"db", db}, {"dx", dx}},
            {{"x", x}, {"dy", dy}, {"u", u}, layer.weight(), layer.bias(), {"lora.a", lora->a}, {"lora.b", lora->b}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    const nf4j_lora adapter = Check::complete(lora);
    return check.run(&Backend::lora_backward, stream, x, dy, u, base, &adapter, accumulate_dx, da, db, dx);
}

int32_t nf4j_loss_linear_cross_entropy(nf4j_stream *stream, const nf4j_tensor *hidden, const nf4j_linear *head,
                                       const nf4j_tensor *labels, float grad_scale, const nf4j_tensor *loss,
                                       const nf4j_tensor *dhidden) {
    const Check check("loss_linear_cross_entropy");
    const Layer output = head_layer(head);
    constexpr int32_t masked_label = -100;
    constexpr const char *meaning = "hidden and dhidden are [m, n], head [vocabulary, n], labels and loss [1, m]";
    const bool valid = check.stream(stream) && check.tensor("hidden", hidden, activations) &&
                       output.valid(check, stream, hidden) &&
                       check.equal(cols_of("hidden", hidden), output.in(), meaning) &&
                       check.vector("labels", labels, {NF4J_I32}, rows_of("hidden", hidden), meaning) &&
                       check.finite("grad_scale", grad_scale) &&
                       check.vector("loss", loss, {NF4J_F32}, rows_of("hidden", hidden), meaning) &&
                       (!dhidden || (check.tensor("dhidden", dhidden, {hidden->dtype}) &&
                                     check.same_shape("dhidden", dhidden, "hidden", hidden))) &&
                       check.apart({{"loss", loss}, {"dhidden", dhidden}},
                                   {{"hidden", hidden}, output.weight(), output.bias(), {"labels", labels}}) &&
                       check.indices(stream, "labels", labels, output.out().value, masked_label);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (hidden->rows == 0) return NF4J_OK;
    return check.run(&Backend::loss_linear_cross_entropy, stream, hidden, head, labels, grad_scale, loss, dhidden);
}
