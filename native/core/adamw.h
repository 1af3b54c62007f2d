// The factors of an AdamW step, for all backends. The host computes them: a GPU's pow may round otherwise.
#pragma once

#include "nf4j.h"

namespace nf4j {

static inline nf4j_adamw_step adamw_step(const nf4j_adamw_options &options) {
    const double lr = static_cast<double>(options.learning_rate), t = static_cast<double>(options.step);
    return {1 - lr * static_cast<double>(options.weight_decay),
            lr / (1 - __builtin_pow(static_cast<double>(options.beta1), t)),
            __builtin_sqrt(1 - __builtin_pow(static_cast<double>(options.beta2), t))};
}

// Those that count for a call of nf4j_optim_adamw, where device memory is ordinary memory.
static inline nf4j_adamw_step chosen_step(const nf4j_adamw_options &options) {
    return options.device_step ? *options.device_step : adamw_step(options);
}

}  // namespace nf4j
