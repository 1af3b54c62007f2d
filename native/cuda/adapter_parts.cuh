// The factors of an adapter's product as BF16 parts, in the order in which product_hopper.cuh or cuBLAS takes them: made once
// for a call, where each of its tiles would have to make them again.
//
// k runs through the products of parts (Parts in bf16_tile.cuh) and is filled up with 0 to whole steps of 64:
//
//   tokens    [m, depth], which tensor copies fetch
//   features  for product_hopper.cuh: [tiles of 16 features][depth / 16][lane] A fragments of mma.m16n8k16, 16 bytes each
//             for cuBLAS: [n, depth]
//
// Floor: what is written, 2 * depth bytes for each token and feature, over the bandwidth of memory.
//
//     NF4J_SIMT_DEVICE=H100 make simt-run OP=lora_forward M=70 N=256 K=256
#pragma once

#include "cuda/bf16_tile.cuh"
#include "cuda/elementwise.cuh"

namespace nf4j::cuda {

struct AdapterParts {
    bf16 *tokens = nullptr;
    bf16 *features = nullptr;
    int64_t depth = 0;  // 0: no adapter

    static constexpr int feature_rows = 16;

    AdapterParts() = default;
    // In `memory`, or nowhere yet.
    AdapterParts(const Segment &s, int64_t m, int64_t n, void *memory) {
        if (s.k == 0) return;
        depth = Parts(s.left.parts, s.right.parts, s.k, true).steps() * bf16_depth;
        tokens = static_cast<bf16 *>(memory);
        features = tokens + ceil_div(m * depth, 128) * 128;
        bytes = (ceil_div(m * depth, 128) * 128 + ceil_div(n, feature_rows) * feature_rows * depth) * 2;
    }

    int64_t bytes = 0;
};

// One lane's 16 bytes of the features, or eight elements of a row.
struct SplitAdapter {
    Segment s;
    AdapterParts to;
    int64_t token_elements;
    bool feature_rows;  // else fragments

    static constexpr int width = 8;
    bool aligned() const { return true; }

    __device__ void operator()(int64_t, const Columns<width> &columns) const {
        const Parts parts(s.left.parts, s.right.parts, s.k, true);
        Vector<bf16, width> eight;
        const bool of_tokens = columns.first < token_elements;
        if (of_tokens || feature_rows) {
            const int64_t first = of_tokens ? columns.first : columns.first - token_elements;
            const int64_t outer = first / to.depth, k = first - outer * to.depth;
            const Operand &x = of_tokens ? s.left : s.right;
            const uint32_t digits = of_tokens ? parts.left : parts.right;
#pragma unroll
            for (int e = 0; e < width; e++) eight.v[e] = part_at(x, parts, digits, outer, k + e);
            store_global((of_tokens ? to.tokens : to.features) + first, eight);
            return;
        }
        const int64_t chunk = (columns.first - token_elements) / width, lane = chunk % warp_size,
                      fragment = chunk / warp_size, fragments = to.depth / 16;
        const int64_t feature = fragment / fragments * AdapterParts::feature_rows + lane / 4,
                      k = fragment % fragments * 16 + lane % 4 * 2;
#pragma unroll
        for (int e = 0; e < width; e++)
            eight.v[e] = part_at(s.right, parts, parts.right, feature + e / 2 % 2 * 8, k + e / 4 * 8 + e % 2);
        store_global(to.features + chunk * width, eight);
    }

private:
    __device__ static bf16 part_at(const Operand &x, const Parts &parts, uint32_t digits, int64_t outer, int64_t k) {
        const auto product = static_cast<int>(static_cast<uint32_t>(k) / static_cast<uint32_t>(parts.stride));
        const int64_t inner = k - product * parts.stride;
        if (product >= parts.count || inner >= parts.k || outer >= x.outer) return {0};
        const float element = x.k_contiguous ? dense_element(x, outer, inner) : dense_element(x, inner, outer);
        return bf16_part(element, static_cast<int>(digits >> (4 * product) & 15));
    }
};

// Fragments of the features.
inline int32_t split_adapter(nf4j_stream *stream, const char *name, const Segment &s, int64_t m, int64_t n,
                             const AdapterParts &to) {
    const int64_t features = ceil_div(n, AdapterParts::feature_rows) * AdapterParts::feature_rows;
    return for_each_element(stream, name, 1, (m + features) * to.depth, SplitAdapter{s, to, m * to.depth, false});
}

// Rows of the features.
inline int32_t split_adapter_rows(nf4j_stream *stream, const char *name, const Segment &s, int64_t m, int64_t n,
                                  const AdapterParts &to) {
    return for_each_element(stream, name, 1, (m + n) * to.depth, SplitAdapter{s, to, m * to.depth, true});
}

}  // namespace nf4j::cuda
