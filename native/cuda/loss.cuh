// Softmax and its gradient for rows of logits [chunk, vocabulary] in F32, in the workspace, so that all begin at
// multiples of 16 bytes. A block has one row, thread t the 16 bytes t, t + 256, ... of it, and reads it three times, from L2
// after the first:
//
//   largest logit  ->  sum of exp(logit - largest)  ->  the gradient, in the logit's place
//
// loss.cu has the products beside it, hidden [m, k] * head^T and the gradient * head, for as many tokens at a time as fit into
// the workspace. Floor: those two, which take nearly all of the time.
//
//     make simt-run OP=loss_linear_cross_entropy M=4 N=1000 K=64
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
    constexpr int width = width_of<float>;
    const auto for_each = [&](const auto &body) { for_row<loss_threads, width>(n, true, body); };
    if (label < 0) {
        const float zeros[width] = {};
        for_each([&](const auto &columns) { logits.store(t, columns, zeros); });
        if (thread_id() == 0) loss[t] = 0;
        return;
    }
    float largest = -INFINITY;
    for_each([&](const auto &columns) {
        float values[width];
        logits.load(values, t, columns);
#pragma unroll
        for (int e = 0; e < width; e++) largest = e < columns.left ? fmaxf(largest, values[e]) : largest;
    });
    largest = reduce_block<loss_threads>(largest, maxima, Maximum());
    const float at_label = label < n ? logits.load(t, label) : bits_to_float(0x7fc00000u);
    double sum = 0;
    for_each([&](const auto &columns) {
        float values[width];
        logits.load(values, t, columns);
#pragma unroll
        for (int e = 0; e < width; e++) {
            if (e < columns.left) sum += static_cast<double>(expf(values[e] - largest));
        }
    });
    sum = reduce_block<loss_threads>(sum, sums, Plus());
    const auto factor = static_cast<float>(static_cast<double>(scale) / sum);
    for_each([&](const auto &columns) {
        float values[width];
        logits.load(values, t, columns);
#pragma unroll
        for (int e = 0; e < width; e++) {
            const float gradient = expf(values[e] - largest) * factor;
            values[e] = columns.first + e == label ? gradient - scale : gradient;
        }
        logits.store(t, columns, values);
    });
    if (thread_id() == 0)
        loss[t] = static_cast<float>(log(sum) + (static_cast<double>(largest) - static_cast<double>(at_label)));
}

}  // namespace nf4j::cuda
