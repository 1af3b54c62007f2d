// Softmax and its gradient for rows of logits [chunk, vocabulary] in F32, in the workspace, so that all begin at
// multiples of 16 bytes. A block has one row, thread t the 4 columns from 4 t, 4 (t + 768), ... on, and reads it twice:
//
//   largest logit of a thread, and sum of exp(logit - largest) so far  ->  those of the row  ->  the gradient
//
// The gradient stands where the logits stood, in the type of the activations: it is a factor of the next product, which
// rounds it to that type anyway.
//
//   bytes of a row in BF16     |  logits, F32                                                  |
//                              |  gradient, BF16              |  not used                      |
//
// A round of the block writes to columns that it, or a round before it, has read.
//
// loss.cu has the products beside it, hidden [m, k] * head^T and the gradient * head, for as many tokens at a time as fit
// into the workspace. Floor: those two, which take nearly all of the time. Blocks are large so that the rows of all of them
// fit into L2 together, from where the second pass comes.
//
//     make simt-run OP=loss_linear_cross_entropy M=4 N=1000 K=64
#pragma once

#include "cuda/global.cuh"
#include "cuda/reduce.cuh"

namespace nf4j::cuda {

// Two blocks fill a multiprocessor, of whatever device. A thread has two times 16 bytes of logits on their way.
constexpr int loss_threads = 768;
constexpr int loss_width = width_of<float>, loss_accesses = 2, loss_round = loss_threads * loss_width * loss_accesses;
constexpr int64_t loss_shared_bytes = reduce_bytes<loss_threads, float>() + reduce_bytes<loss_threads, double>();

// The sum of exp(x - largest) over the values x of one thread. A larger value scales what was summed so far.
class ExponentialSum {
public:
    template <int N>
    __device__ void add(const float (&values)[N], int32_t count) {
        float top = largest_;
#pragma unroll
        for (int e = 0; e < N; e++) top = e < count ? fmaxf(top, values[e]) : top;
        if (top > largest_) sum_ *= expf(largest_ - top);
        largest_ = top;
        // As a tree, so that even a thread with a thousand values has some hundred additions one after the other.
        float terms[N];
#pragma unroll
        for (int e = 0; e < N; e++) terms[e] = e < count ? expf(values[e] - finite(top)) : 0;
#pragma unroll
        for (int half = N / 2; half > 0; half /= 2) {
#pragma unroll
            for (int e = 0; e < half; e++) terms[e] += terms[e + half];
        }
        sum_ += terms[0];
    }

    __device__ float largest() const { return largest_; }
    // As a share of the sum whose largest value is `of_all`.
    __device__ double under(float of_all) const {
        return static_cast<double>(sum_) * static_cast<double>(expf(largest_ - finite(of_all)));
    }

private:
    // Where all values are -infinity, so that their terms are 0.
    __device__ static float finite(float largest) { return largest == -INFINITY ? 0 : largest; }

    float largest_ = -INFINITY;
    float sum_ = 0;
};

// loss [chunk] = logsumexp(logits) - logits[label], gradient = scale * (softmax(logits) - onehot(label)), if it is wanted.
// Where the label is negative, both are 0.
template <typename G>
__global__ void __launch_bounds__(loss_threads, 2)
    softmax_gradient_kernel(Matrix<float> logits, Matrix<G> gradient, bool gradient_wanted, uint32_t n,
                            const int32_t *labels, float scale, float *loss) {
    SharedArena arena;
    const Shared<float> maxima = arena.take<float>(loss_threads / warp_size);
    const Shared<double> sums = arena.take<double>(loss_threads / warp_size);
    const int64_t t = block_id();
    const int32_t label = labels[t];
    const auto columns_of = [&](uint32_t round, int access) {
        return Columns<loss_width>(round + (access * loss_threads + thread_id()) * loss_width, n, true);
    };
    const auto load_round = [&](float (&values)[loss_accesses][loss_width], uint32_t round) {
#pragma unroll
        for (int a = 0; a < loss_accesses; a++) logits.load(values[a], t, columns_of(round, a));
    };
    if (label < 0) {
        const float zeros[loss_width] = {};
        const auto clear = [&](const auto &columns) { gradient.store(t, columns, zeros); };
        if (gradient_wanted) for_row<loss_threads, loss_width>(n, true, clear);
        if (thread_id() == 0) loss[t] = 0;
        return;
    }
    ExponentialSum part;
    for (uint32_t round = 0; round < n; round += loss_round) {
        float values[loss_accesses][loss_width];
        load_round(values, round);
#pragma unroll
        for (int a = 0; a < loss_accesses; a++) part.add(values[a], static_cast<int32_t>(columns_of(round, a).left));
    }
    const float at_label = static_cast<uint32_t>(label) < n ? logits.load(t, label) : bits_to_float(0x7fc00000u);
    const float largest = reduce_block<loss_threads>(part.largest(), maxima, Maximum());
    const double sum = reduce_block<loss_threads>(part.under(largest), sums, Plus());
    if (thread_id() == 0)
        loss[t] = static_cast<float>(log(sum) + (static_cast<double>(largest) - static_cast<double>(at_label)));
    if (!gradient_wanted) return;
    const auto factor = static_cast<float>(static_cast<double>(scale) / sum);
    for (uint32_t round = 0; round < n; round += loss_round) {
        float values[loss_accesses][loss_width];
        load_round(values, round);
        if constexpr (sizeof(G) < sizeof(float)) sync_threads();  // others' logits stood where this goes
#pragma unroll
        for (int a = 0; a < loss_accesses; a++) {
            const auto columns = columns_of(round, a);
#pragma unroll
            for (int e = 0; e < loss_width; e++) {
                const float softmax = expf(values[a][e] - largest) * factor;
                values[a][e] = columns.first + e == label ? softmax - scale : softmax;
            }
            gradient.store(t, columns, values[a]);
        }
    }
}

}  // namespace nf4j::cuda
