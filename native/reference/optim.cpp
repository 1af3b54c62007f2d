#include "core/adamw.h"
#include "core/nf4_tables.h"
#include "reference/element.h"
#include "reference/reference.h"

#include <algorithm>
#include <cmath>

namespace nf4j::reference {

namespace {

// The constants of one step, in the notation of nf4j.h.
struct Step {
    nf4j_adamw_step factors;
    double b1, b2, eps, grad_scale;

    Step(const nf4j_adamw_options *options, const float *scale)
        : factors(chosen_step(*options)),
          b1(options->beta1),
          b2(options->beta2),
          eps(options->eps),
          grad_scale(scale ? *scale : 1.0f) {}

    void update(float gradient, float *param, float *m, float *v) const {
        const double g = gradient * grad_scale;
        const double new_m = b1 * *m + (1 - b1) * g;
        const double new_v = b2 * *v + (1 - b2) * g * g;
        const double change = factors.rate * new_m / (std::sqrt(new_v) / factors.correction + eps);
        *param = static_cast<float>(*param * factors.decay - change);
        *m = static_cast<float>(new_m);
        *v = static_cast<float>(new_v);
    }
};

void update_in_32_bits(const Step &step, const nf4j_adamw_parameter &p) {
    auto *m = static_cast<float *>(p.m);
    auto *v = static_cast<float *>(p.v);
    for (int64_t i = 0; i < p.n; i++) step.update(p.grad[i], p.param + i, m + i, v + i);
}

void update_in_8_bits(const Step &step, const nf4j_adamw_parameter &p) {
    constexpr int64_t block_size = 256;
    const int64_t blocks = (p.n + block_size - 1) / block_size;
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t begin = b * block_size;
        const int64_t count = std::min(block_size, p.n - begin);
        uint8_t *m_codes = static_cast<uint8_t *>(p.m) + begin;
        uint8_t *v_codes = static_cast<uint8_t *>(p.v) + begin;
        float *m_absmax = p.absmax + b;
        float *v_absmax = p.absmax + blocks + b;
        float m[block_size], v[block_size];
        for (int64_t i = 0; i < count; i++) {
            m[i] = dynamic_map_signed[m_codes[i]] * *m_absmax;
            v[i] = dynamic_map_unsigned[v_codes[i]] * *v_absmax;
            step.update(p.grad[begin + i], p.param + begin + i, m + i, v + i);
        }
        dynamic_quantize(dynamic_map_signed, m, count, m_codes, m_absmax);
        dynamic_quantize(dynamic_map_unsigned, v, count, v_codes, v_absmax);
    }
}

}  // namespace

int32_t optim_global_norm(nf4j_stream *, const nf4j_adamw_parameter *parameters, int64_t count, float max_norm,
                          const nf4j_tensor *norm) {
    double squares = 0;
    for (int64_t k = 0; k < count; k++) {
        for (int64_t i = 0; i < parameters[k].n; i++) {
            const double g = parameters[k].grad[i];
            squares += g * g;
        }
    }
    const double length = std::sqrt(squares);
    store(norm, 0, 0, length);
    store(norm, 0, 1, max_norm > 0 ? std::min(1.0, max_norm / (length + 1e-6)) : 1.0);
    return NF4J_OK;
}

int32_t optim_adamw_step(nf4j_stream *, const nf4j_adamw_options *options, nf4j_adamw_step *step) {
    *step = adamw_step(*options);
    return NF4J_OK;
}

int32_t optim_adamw(nf4j_stream *, const nf4j_adamw_options *options, const nf4j_adamw_parameter *parameters,
                    int64_t count, const float *grad_scale) {
    const Step step(options, grad_scale);
    for (int64_t k = 0; k < count; k++) {
        if (parameters[k].absmax) {
            update_in_8_bits(step, parameters[k]);
        } else {
            update_in_32_bits(step, parameters[k]);
        }
    }
    return NF4J_OK;
}

}  // namespace nf4j::reference
