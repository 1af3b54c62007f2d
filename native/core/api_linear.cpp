// Dense products, LoRA, and the output layer's loss: what takes an nf4j_linear.
#include "core/check.h"

#include <algorithm>
#include <cstdio>

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

// What texts call an adapter, alone or in a list.
struct LoraNames {
    const char *lora, *device_seed, *a;
};

constexpr LoraNames one_lora = {"lora", "lora.device_seed", "lora.a"};
constexpr const char *lora_meaning = "base is [out, in], a [rank, in], b [out, rank]";

// What nf4j_lora_project reads of an adapter; `in` is how many columns a must have.
bool valid_down(const Check &check, const LoraNames &names, const nf4j_lora *lora, const Extent &in,
                const char *meaning) {
    if (!check.options(names.lora, lora)) return false;
    if (!(lora->dropout >= 0 && lora->dropout < 1)) {
        return check.refuse("%s.dropout is %g, expected 0 <= dropout < 1", names.lora,
                            static_cast<double>(lora->dropout));
    }
    return check.aligned(names.device_seed, Check::complete(lora).device_seed, 8) &&
           check.tensor(names.a, lora->a, activations) &&
           (lora->a->rows >= 1 || check.refuse("the rank (rows of %s) is 0, expected at least 1", names.a)) &&
           check.equal(cols_of(names.a, lora->a), in, meaning);
}

// What nf4j_lora_apply reads of one.
bool valid_up(const Check &check, const nf4j_lora *lora, const Layer &base) {
    return check.options("lora", lora) && check.flag("lora.rank_stabilized", lora->rank_stabilized) &&
           check.finite("lora.alpha", lora->alpha) && check.tensor("lora.b", lora->b, activations) &&
           check.at_least("the rank (columns of lora.b)", lora->b->cols, 1) &&
           check.equal(rows_of("lora.b", lora->b), base.out(), lora_meaning);
}

// An adapter that fits the layer.
bool valid_lora(const Check &check, const nf4j_lora *lora, const Layer &base) {
    return valid_down(check, one_lora, lora, base.in(), lora_meaning) && valid_up(check, lora, base) &&
           check.equal(cols_of("lora.b", lora->b), rows_of("lora.a", lora->a), lora_meaning);
}

// An adapter of nf4j_lora_project's list, and its u.
bool valid_projected(const Check &check, const nf4j_tensor *x, const nf4j_lora *lora, const nf4j_tensor *u,
                     int64_t index) {
    constexpr const char *meaning = "x is [m, in], a [rank, in], u [m, rank]";
    char lora_name[32], device_seed[48], a[32], u_name[32];
    const auto number = static_cast<long long>(index);
    std::snprintf(lora_name, sizeof lora_name, "loras[%lld]", number);
    std::snprintf(device_seed, sizeof device_seed, "loras[%lld].device_seed", number);
    std::snprintf(a, sizeof a, "loras[%lld].a", number);
    std::snprintf(u_name, sizeof u_name, "us[%lld]", number);
    return valid_down(check, {lora_name, device_seed, a}, lora, cols_of("x", x), meaning) &&
           check.tensor(u_name, u, {NF4J_F32}) && check.equal(rows_of(u_name, u), rows_of("x", x), meaning) &&
           check.equal(cols_of(u_name, u), rows_of(a, lora->a), meaning) && check.apart({{u_name, u}}, {{"x", x}});
}

// No u lies in a factor, nor in another u.
bool apart_in_list(const Check &check, const nf4j_lora *const *loras, int64_t count, const nf4j_tensor *const *us) {
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < count; j++) {
            const bool in_factor = overlap({"u", us[i]}, {"a", loras[j]->a});
            if (in_factor || (j < i && overlap({"u", us[i]}, {"u", us[j]}))) {
                return check.refuse(in_factor ? "us[%lld] and loras[%lld].a overlap in memory"
                                              : "us[%lld] and us[%lld] overlap in memory",
                                    static_cast<long long>(i), static_cast<long long>(j));
            }
        }
    }
    return true;
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
    const nf4j_lora adapter = Check::complete(lora), *list[] = {&adapter};
    const int32_t status = check.run(&Backend::lora_project, stream, x, list, 1, &u);
    return status == NF4J_OK ? check.run(&Backend::lora_apply, stream, x, base, &adapter, u, y) : status;
}

int32_t nf4j_lora_project(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_lora *const *loras, int64_t count,
                          const nf4j_tensor *const *us) {
    const Check check("lora_project");
    if (!check.stream(stream) || !check.tensor("x", x, activations) || !check.at_least("count", count, 1) ||
        !check.not_null("loras", loras) || !check.not_null("us", us)) {
        return NF4J_INVALID_ARGUMENT;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!valid_projected(check, x, loras[i], us[i], i)) return NF4J_INVALID_ARGUMENT;
    }
    if (!apart_in_list(check, loras, count, us)) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    int32_t status = NF4J_OK;
    for (int64_t first = 0; first < count && status == NF4J_OK; first += most_projected) {
        const int64_t part = std::min(count - first, most_projected);
        nf4j_lora adapters[most_projected];
        const nf4j_lora *list[most_projected];
        for (int64_t i = 0; i < part; i++) {
            adapters[i] = Check::complete(loras[first + i]);
            list[i] = &adapters[i];
        }
        status = check.run(&Backend::lora_project, stream, x, list, part, us + first);
    }
    return status;
}

int32_t nf4j_lora_apply(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                        const nf4j_tensor *u, const nf4j_tensor *y) {
    const Check check("lora_apply");
    const Layer layer = base_layer(base);
    constexpr const char *meaning = "x is [m, in], base [out, in], b [out, rank], u [m, rank], y [m, out]";
    const bool valid =
        check.stream(stream) && check.tensor("x", x, activations) && layer.valid(check, stream, x) &&
        valid_up(check, lora, layer) && check.tensor("u", u, {NF4J_F32}) && check.tensor("y", y, {x->dtype}) &&
        check.equal(cols_of("x", x), layer.in(), meaning) && check.equal(rows_of("u", u), rows_of("x", x), meaning) &&
        check.equal(cols_of("u", u), cols_of("lora.b", lora->b), meaning) &&
        check.equal(rows_of("y", y), rows_of("x", x), meaning) && check.equal(cols_of("y", y), layer.out(), meaning) &&
        check.apart({{"y", y}}, {{"x", x}, layer.weight(), layer.bias(), {"lora.b", lora->b}, {"u", u}});
    if (!valid) return NF4J_INVALID_ARGUMENT;
    if (x->rows == 0) return NF4J_OK;
    const nf4j_lora adapter = Check::complete(lora);
    return check.run(&Backend::lora_apply, stream, x, base, &adapter, u, y);
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
