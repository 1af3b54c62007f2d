#include "core/check.h"

#include <cstdio>

using namespace nf4j;

namespace {

// One array of parameters[index]: there, and aligned.
bool valid_array(const Check &check, int64_t index, const char *field, const void *data, int64_t alignment) {
    char name[48];
    std::snprintf(name, sizeof name, "parameters[%lld].%s", static_cast<long long>(index), field);
    return check.not_null(name, data) && check.aligned(name, data, alignment);
}

bool valid_list(const Check &check, const nf4j_stream *stream, const nf4j_adamw_parameter *parameters, int64_t count) {
    if (!check.stream(stream) || !check.at_least("count", count, 0) ||
        (count > 0 && !check.not_null("parameters", parameters))) {
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        const nf4j_adamw_parameter &p = parameters[i];
        if (p.n < 0 || p.n > INT64_MAX / 8) {
            return check.refuse("parameters[%lld].n is %lld, expected a size in memory", static_cast<long long>(i),
                                static_cast<long long>(p.n));
        }
        if (p.n > 0 && !valid_array(check, i, "grad", p.grad, 4)) return false;
    }
    return true;
}

// What adamw writes: param and the two states.
bool valid_states(const Check &check, int64_t index, const nf4j_adamw_parameter &p) {
    const bool in_8_bits = p.absmax != nullptr;
    const int64_t state_size = in_8_bits ? 1 : 4;
    const int64_t blocks = (p.n + 255) / 256;
    return valid_array(check, index, "param", p.param, 4) && valid_array(check, index, "m", p.m, state_size) &&
           valid_array(check, index, "v", p.v, state_size) &&
           (!in_8_bits || valid_array(check, index, "absmax", p.absmax, 4)) &&
           check.apart({{"param", p.param, p.n * 4},
                        {"m", p.m, p.n * state_size},
                        {"v", p.v, p.n * state_size},
                        {"absmax", p.absmax, 2 * blocks * 4}},
                       {{"grad", p.grad, p.n * 4}});
}

bool in_unit_interval(const Check &check, const char *name, float value) {
    return (value >= 0 && value < 1) ||
           check.refuse("%s is %g, expected 0 <= %s < 1", name, static_cast<double>(value), name);
}

// Everything that the factors of a step follow from.
bool valid_step(const Check &check, const nf4j_adamw_options *options) {
    return check.not_negative("options.learning_rate", options->learning_rate) &&
           check.not_negative("options.weight_decay", options->weight_decay) &&
           check.at_least("options.step", options->step, 1);
}

bool valid_betas(const Check &check, const nf4j_adamw_options *options) {
    return in_unit_interval(check, "options.beta1", options->beta1) &&
           in_unit_interval(check, "options.beta2", options->beta2);
}

}  // namespace

int32_t nf4j_optim_global_norm(nf4j_stream *stream, const nf4j_adamw_parameter *parameters, int64_t count,
                               float max_norm, const nf4j_tensor *norm) {
    const Check check("optim_global_norm");
    const bool valid = valid_list(check, stream, parameters, count) && check.finite("max_norm", max_norm) &&
                       check.vector("norm", norm, {NF4J_F32}, {"its result", "columns", 2}, "norm is [1, 2]");
    if (!valid) return NF4J_INVALID_ARGUMENT;
    for (int64_t i = 0; i < count; i++) {
        if (!check.apart({{"norm", norm}}, {{"grad", parameters[i].grad, parameters[i].n * 4}}))
            return NF4J_INVALID_ARGUMENT;
    }
    return check.run(&Backend::optim_global_norm, stream, parameters, count, max_norm, norm);
}

int32_t nf4j_optim_adamw_step(nf4j_stream *stream, const nf4j_adamw_options *options, nf4j_adamw_step *step) {
    const Check check("optim_adamw_step");
    const bool valid = check.stream(stream) && check.options("options", options) && valid_betas(check, options) &&
                       valid_step(check, options) && check.not_null("step", step) && check.aligned("step", step, 8);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    return check.run(&Backend::optim_adamw_step, stream, options, step);
}

int32_t nf4j_optim_adamw(nf4j_stream *stream, const nf4j_adamw_options *options, const nf4j_adamw_parameter *parameters,
                         int64_t count, const float *grad_scale) {
    const Check check("optim_adamw");
    if (!valid_list(check, stream, parameters, count) || !check.options("options", options))
        return NF4J_INVALID_ARGUMENT;
    const nf4j_adamw_options whole = Check::complete(options);
    const bool valid =
        valid_betas(check, options) && check.not_negative("options.eps", options->eps) &&
        (whole.device_step ? check.aligned("options.device_step", whole.device_step, 8) : valid_step(check, options)) &&
        check.aligned("grad_scale", grad_scale, 4);
    if (!valid) return NF4J_INVALID_ARGUMENT;
    for (int64_t i = 0; i < count; i++) {
        if (parameters[i].n > 0 && !valid_states(check, i, parameters[i])) return NF4J_INVALID_ARGUMENT;
    }
    return check.run(&Backend::optim_adamw, stream, &whole, parameters, count, grad_scale);
}
