// Which attention kernel a head takes, with which tiles.
#pragma once

#include "cuda/attention_bf16_backward.cuh"
#include "cuda/attention_f32_backward.cuh"

namespace nf4j::cuda {

constexpr int largest_bf16_head_dim = 128;
constexpr int largest_head_dim = 256;

// For a head dimension rounded up to D: big tiles where they are many, small ones elsewhere.
template <int D>
struct Bf16Tiles {
    using BigForward = ForwardShape<D, 32>;
    using SmallForward = ForwardShape<D, 16>;
    // 32 rows of a warp where the sums leave room for them; as many others at a time as two blocks have space for.
    using BigDq = BackwardShape<D, 32, 32>;
    using SmallDq = BackwardShape<D, 16, 32>;
    using BigDkv = BackwardShape<D, D <= 64 ? 32 : 16, 32>;
    using SmallDkv = BackwardShape<D, 16, 32>;
};

// Calls body(Bf16Tiles<D>).
template <class Body>
int32_t with_bf16_tiles(int head_dim, const Body &body) {
    if (head_dim <= 64) return body(Bf16Tiles<64>{});
    if (head_dim <= 80) return body(Bf16Tiles<80>{});
    if (head_dim <= 96) return body(Bf16Tiles<96>{});
    return body(Bf16Tiles<128>{});
}

// Calls body(shape, type), with the smallest shape.
template <class Body>
int32_t with_f32_shape(int head_dim, int32_t dtype, const Body &body) {
    if (dtype == NF4J_BF16) return body(F32AttentionShape<256, 16, 16>{}, bf16{});
    if (head_dim <= 64) return body(F32AttentionShape<64, 32, 32>{}, float{});
    if (head_dim <= 128) return body(F32AttentionShape<128, 32, 32>{}, float{});
    return body(F32AttentionShape<256, 16, 16>{}, float{});
}

inline bool takes_tensor_cores(int head_dim, int32_t dtype) {
    return dtype == NF4J_BF16 && head_dim <= largest_bf16_head_dim;
}

}  // namespace nf4j::cuda
