// AdamW for many parameters in one region, and the global norm of their gradients.
#include "core/adamw.h"
#include "core/nf4_tables.h"
#include "cpu/isa/elementwise.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

constexpr int64_t chunk = 16384;      // elements to a task; a multiple of state_block
constexpr int64_t state_block = 256;  // elements that share a scale of 8-bit state

int64_t chunks_of(const nf4j_adamw_parameter &p) { return (p.n + chunk - 1) / chunk; }

// Calls body(parameter, first, count, number of the chunk) for every chunk of every parameter.
template <class Body>
void for_chunks(const nf4j_stream *stream, const nf4j_adamw_parameter *parameters, int64_t count, const Body &body) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) total += chunks_of(parameters[i]);
    pool_of(stream).parallel_for(total, [&](int64_t task, int) {
        int64_t index = 0, within = task;
        while (within >= chunks_of(parameters[index])) within -= chunks_of(parameters[index++]);
        const nf4j_adamw_parameter &p = parameters[index];
        const int64_t first = within * chunk;
        body(p, first, p.n - first < chunk ? p.n - first : chunk, task);
    });
}

// The scalars of a step, as torch computes them: in double, rounded once.
struct Step {
    float decay, beta1, beta2, rate, correction, eps, gradient_scale;
};

// The step of the header, 32-bit state.
void update(const Step &step, float *param, const float *grad, float *m, float *v, int64_t n) {
    const Vec b1 = broadcast(step.beta1), b2 = broadcast(step.beta2), one = broadcast(1.0f);
    for_vectors(n, [&](int64_t j, int64_t count) {
        const Vec g = load(grad + j, count) * broadcast(step.gradient_scale);
        const Vec old_m = load(m + j, count);
        const Vec new_m = fma(one - b1, g - old_m, old_m);  // torch's lerp
        const Vec new_v = fma((one - b2) * g, g, b2 * load(v + j, count));
        const Vec denominator = sqrt(new_v) / broadcast(step.correction) + broadcast(step.eps);
        const Vec p = load(param + j, count) * broadcast(step.decay);
        store(param + j, p - broadcast(step.rate) * new_m / denominator, count);
        store(m + j, new_m, count);
        store(v + j, new_v, count);
    });
}

// One block of 8-bit state: decoded, updated, encoded with the largest magnitude as its new scale.
void update_block(const Step &step, float *param, const float *grad, uint8_t *m, uint8_t *v, float *m_scale,
                  float *v_scale, int64_t n) {
    float new_m[state_block], new_v[state_block];
    float largest_m = 0, largest_v = 0;
    for (int64_t j = 0; j < n; j++) {
        const float g = grad[j] * step.gradient_scale;
        new_m[j] = dynamic_map_signed[m[j]] * *m_scale * step.beta1 + (1 - step.beta1) * g;
        new_v[j] = dynamic_map_unsigned[v[j]] * *v_scale * step.beta2 + (1 - step.beta2) * g * g;
        const float magnitude = __builtin_fabsf(new_m[j]);
        if (magnitude > largest_m) largest_m = magnitude;
        if (new_v[j] > largest_v) largest_v = new_v[j];
        param[j] =
            param[j] * step.decay - step.rate * (new_m[j] / (__builtin_sqrtf(new_v[j]) / step.correction + step.eps));
    }
    for (int64_t j = 0; j < n; j++) {
        m[j] = dynamic_encode(dynamic_map_signed, largest_m > 0 ? new_m[j] / largest_m : 0);
        v[j] = dynamic_encode(dynamic_map_unsigned, largest_v > 0 ? new_v[j] / largest_v : 0);
    }
    *m_scale = largest_m;
    *v_scale = largest_v;
}

}  // namespace

int32_t optim_global_norm(nf4j_stream *stream, const nf4j_adamw_parameter *parameters, int64_t count, float max_norm,
                          const nf4j_tensor *norm) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) total += chunks_of(parameters[i]);
    const int64_t needed = total * int64_t{sizeof(double)};
    if (needed > stream->workspace_bytes) {
        return fail(NF4J_OUT_OF_MEMORY,
                    "optim_global_norm: these gradients need a workspace of %lld bytes, the stream has %lld",
                    static_cast<long long>(needed), static_cast<long long>(stream->workspace_bytes));
    }
    double *squares = reinterpret_cast<double *>(stream->workspace);
    for_chunks(stream, parameters, count, [&](const nf4j_adamw_parameter &p, int64_t first, int64_t n, int64_t number) {
        double sum = 0;
        for (int64_t j = first; j < first + n; j++)
            sum += static_cast<double>(p.grad[j]) * static_cast<double>(p.grad[j]);
        squares[number] = sum;
    });
    double sum = 0;
    for (int64_t i = 0; i < total; i++) sum += squares[i];
    float *result = at<float>(norm, 0);
    result[0] = static_cast<float>(__builtin_sqrt(sum));
    const float factor = max_norm > 0 ? max_norm / (result[0] + 1e-6f) : 1.0f;
    result[1] = factor < 1.0f ? factor : 1.0f;
    return NF4J_OK;
}

int32_t optim_adamw_step(nf4j_stream *, const nf4j_adamw_options *options, nf4j_adamw_step *step) {
    *step = adamw_step(*options);
    return NF4J_OK;
}

int32_t optim_adamw(nf4j_stream *stream, const nf4j_adamw_options *options, const nf4j_adamw_parameter *parameters,
                    int64_t count, const float *grad_scale) {
    const nf4j_adamw_step factors = chosen_step(*options);
    const Step step = {static_cast<float>(factors.decay),
                       options->beta1,
                       options->beta2,
                       static_cast<float>(factors.rate),
                       static_cast<float>(factors.correction),
                       options->eps,
                       grad_scale ? *grad_scale : 1.0f};
    for_chunks(stream, parameters, count, [&](const nf4j_adamw_parameter &p, int64_t first, int64_t n, int64_t) {
        if (!p.absmax) {
            update(step, p.param + first, p.grad + first, static_cast<float *>(p.m) + first,
                   static_cast<float *>(p.v) + first, n);
            return;
        }
        const int64_t blocks = (p.n + state_block - 1) / state_block;
        for (int64_t j = first; j < first + n; j += state_block) {
            float *scale = p.absmax + j / state_block;
            update_block(step, p.param + j, p.grad + j, static_cast<uint8_t *>(p.m) + j,
                         static_cast<uint8_t *>(p.v) + j, scale, scale + blocks,
                         p.n - j < state_block ? p.n - j : state_block);
        }
    });
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
