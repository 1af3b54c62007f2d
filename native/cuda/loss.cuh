// Softmax and its gradient for rows of logits [chunk, vocabulary] in F32. A block has one row, which it reads three
// times: from L2 after the first. Floor: the two products beside it, which take nearly all of the time.
#pragma once

#include "cuda/global.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

constexpr int loss_threads = 256;
constexpr int64_t loss_shared_bytes = reduce_bytes<loss_threads, float>() + reduce_bytes<loss_threads, double>();

// loss [chunk] = logsumexp(logits) - logits[label]; the logits become scale * (softmax(logits) - onehot(label)). Where
// the label is negative, both are 0.
static __global__ void __launch_bounds__(loss_threads)
    softmax_gradient_kernel(Matrix<float> logits, int64_t n, const int32_t *labels, float scale, float *loss) {
    SharedArena arena;
    const Shared<float> maxima = arena.take<float>(loss_threads / warp_size);
    const Shared<double> sums = arena.take<double>(loss_threads / warp_size);
    const int64_t t = block_id();
    const int32_t label = labels[t];
    if (label < 0) {
        for (int64_t j = thread_id(); j < n; j += loss_threads) logits.store(t, j, 0);
        if (thread_id() == 0) loss[t] = 0;
        return;
    }
    float largest = -INFINITY;
    for (int64_t j = thread_id(); j < n; j += loss_threads) largest = fmaxf(largest, logits.load(t, j));
    largest = reduce_block<loss_threads>(largest, maxima, Maximum());
    const float at_label = label < n ? logits.load(t, label) : bits_to_float(0x7fc00000u);
    double sum = 0;
    for (int64_t j = thread_id(); j < n; j += loss_threads)
        sum += static_cast<double>(expf(logits.load(t, j) - largest));
    sum = reduce_block<loss_threads>(sum, sums, Plus());
    const auto factor = static_cast<float>(static_cast<double>(scale) / sum);
    for (int64_t j = thread_id(); j < n; j += loss_threads) {
        const float gradient = expf(logits.load(t, j) - largest) * factor;
        logits.store(t, j, j == label ? gradient - scale : gradient);
    }
    if (thread_id() == 0)
        loss[t] = static_cast<float>(log(sum) + (static_cast<double>(largest) - static_cast<double>(at_label)));
}

}  // namespace nf4j::cuda
