#include "cuda/optim.cuh"

#include "core/adamw.h"
#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"

namespace nf4j::cuda {

namespace {

// Calls body(batch, blocks) for as many batches as the list of parameters needs.
template <class Body>
int32_t for_batches(const nf4j_adamw_parameter *parameters, int64_t count, const Body &body) {
    OptimBatch batch;
    for (int64_t k = 0; k < count;) {
        int64_t blocks = 0;
        batch.count = 0;
        for (; k < count && batch.count < optim_batch; k++) {
            if (parameters[k].n == 0) continue;
            batch.entries[batch.count++] = {parameters[k], blocks};
            blocks += ceil_div(parameters[k].n, optim_chunk);
        }
        const int32_t status = body(batch, blocks);
        if (status != NF4J_OK) return status;
    }
    return NF4J_OK;
}

}  // namespace

int32_t optim_global_norm(nf4j_stream *stream, const nf4j_adamw_parameter *parameters, int64_t count, float max_norm,
                          const nf4j_tensor *norm) {
    int64_t chunks = 0;
    for (int64_t k = 0; k < count; k++) chunks += ceil_div(parameters[k].n, optim_chunk);
    auto *squares = static_cast<double *>(workspace(stream, "optim_global_norm", chunks * 8));
    if (!squares) return NF4J_OUT_OF_MEMORY;
    constexpr int64_t shared = reduce_bytes<optim_threads, double>();
    double *next = squares;
    const int32_t status = for_batches(parameters, count, [&](const OptimBatch &batch, int64_t blocks) {
        const int32_t launched = launch(stream, "squares", blocks, optim_threads, shared, squares_kernel, batch, next);
        next += blocks;
        return launched;
    });
    if (status != NF4J_OK) return status;
    return launch(stream, "global_norm", 1, optim_threads, shared, norm_kernel, squares, chunks, max_norm,
                  static_cast<float *>(norm->data));
}

int32_t optim_adamw_step(nf4j_stream *stream, const nf4j_adamw_options *options, nf4j_adamw_step *step) {
    return launch(stream, "adamw_step", 1, warp_size, 0, adamw_step_kernel, adamw_step(*options), step);
}

int32_t optim_adamw(nf4j_stream *stream, const nf4j_adamw_options *options, const nf4j_adamw_parameter *parameters,
                    int64_t count, const float *grad_scale) {
    const double b1 = options->beta1, b2 = options->beta2;
    AdamwStep step = {options->beta1, options->beta2, static_cast<float>(1 - b1), static_cast<float>(1 - b2),
                      options->eps,   grad_scale,     options->device_step};
    if (!step.device_step) step.take(adamw_step(*options));
    const Tables *tables = tables_of(stream);
    const DynamicMaps maps = {tables->signed_map, tables->unsigned_map};
    constexpr int64_t shared = 2 * SharedArena::bytes_of(256 * 4) + reduce_bytes<optim_threads, float>();
    return for_batches(parameters, count, [&](const OptimBatch &batch, int64_t blocks) {
        return launch(stream, "adamw", blocks, optim_threads, shared, adamw_kernel, batch, step, maps);
    });
}

}  // namespace nf4j::cuda
