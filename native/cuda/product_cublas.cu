// Products whose large part cuBLAS takes, where the machine has it: those with a dense weight, and of many tokens also those
// with NF4, whose weights are then dequantized into the workspace, a panel of c's columns at a time.
//
//   1  c = beta * c + adapter + bias    the adapter's factors as BF16 parts (adapter_parts.cuh), multiplied by cuBLAS; one
//                                       with dropout, and a bias, by the kernels of product.cu
//   2  c = c + main product             for NF4: dequantize a panel, multiply, the next panel
//
// What step 1 leaves in a c of BF16 is rounded once more than in our own kernels, where all of it is one sum.
//
// Why for NF4 at all: dequantizing takes 53 us for 14336 x 4096 weights on an H200, however many tokens there are, and from some
// number of them on product_hopper.cuh loses more beside cuBLAS than that (bench/results/gpu-nvidia-h200-nf4.json: dx of 1024
// tokens 262 us where both passes take 213, of 4096 tokens 1074 and 695; forward from 2048 tokens on 1.07 to 1.16 of their
// time). A forward pass with an adapter stays: c would be written and read once more, and that costs what cuBLAS wins.
#include "cuda/product_cublas.h"

#include "cuda/adapter_parts.cuh"
#include "cuda/cublas.h"
#include "cuda/device.h"

#include <algorithm>
#include <climits>

namespace nf4j::cuda {

namespace {

// A product that fills a GPU. Below, a launch of ours costs less, and decoding keeps a row's bits whatever the batch.
constexpr int64_t least_rows = 128, least_columns = 128, least_work = int64_t{1} << 28;

// Of NF4 on Hopper; other devices have not been measured.
constexpr int64_t least_rows_forward = 2048, least_rows_backward = 1024;
// Where there are several panels, the product of each should fill the GPU: a tile of this size for each multiprocessor.
constexpr int64_t panel_step = 128, tile_of_cublas = 128 * 256;

bool is_plain(const Operand &x) { return x.is_bf16 && !x.masked && x.scale == 1 && x.parts == 1 && x.ld <= INT_MAX; }

Operand bf16_rows(const void *data, int64_t outer, int64_t ld) {
    Operand x;
    x.data = data;
    x.is_bf16 = true;
    x.ld = ld;
    x.outer = outer;
    return x;
}

char *free_workspace(const nf4j_stream *stream, const Product &p) {
    return static_cast<char *>(stream->workspace) + SharedArena::bytes_of(p.workspace_used);
}

int64_t free_bytes(const nf4j_stream *stream, int64_t used) {
    return stream->workspace_bytes - SharedArena::bytes_of(used);
}

// c = alpha * adapter + beta * c + bias.
int32_t begin(nf4j_stream *stream, const char *name, const Product &p) {
    const AdapterParts parts(p.adapter, p.m, p.n, free_workspace(stream, p));
    if (p.masked_adapter || p.bias.data || parts.bytes > free_bytes(stream, p.workspace_used)) {
        Product rest = p;
        rest.main = {p.main.left, p.main.left, 0};
        return multiply(stream, name, rest, NF4J_BF16);
    }
    const int32_t status = split_adapter_rows(stream, name, p.adapter, p.m, p.n, parts);
    if (status != NF4J_OK) return status;
    Product product = p;
    product.main = {bf16_rows(parts.tokens, p.m, parts.depth), bf16_rows(parts.features, p.n, parts.depth),
                    parts.depth};
    return cublas_multiply(stream, name, product);
}

int32_t multiply_panels(nf4j_stream *stream, const char *name, const Product &p, int64_t columns) {
    const Operand &weight = p.main.right;
    const bool forward = weight.k_contiguous;
    void *memory = free_workspace(stream, p);
    for (int64_t first = 0; first < p.n; first += columns) {
        const int64_t count = std::min(columns, p.n - first);
        const nf4j_tensor panel = forward ? nf4j_tensor{memory, count, p.main.k, p.main.k, NF4J_BF16, 0}
                                          : nf4j_tensor{memory, p.main.k, count, count, NF4J_BF16, 0};
        int32_t status = dequantize_panel(stream, weight.nf4, forward ? first : 0, forward ? 0 : first, &panel);
        if (status != NF4J_OK) return status;
        Product of_panel = p;
        of_panel.main.right = forward ? rows_of(&panel) : columns_of(&panel);
        of_panel.n = count;
        of_panel.c = static_cast<char *>(p.c) + first * (p.c_is_bf16 ? 2 : 4);
        status = cublas_multiply(stream, name, of_panel);
        if (status != NF4J_OK) return status;
    }
    return NF4J_OK;
}

int64_t panel_columns(const nf4j_stream *stream, const Product &p) {
    const Operand &right = p.main.right;
    if (!right.nf4.scale_per_row || p.part_of_rows || (right.k_contiguous && (p.adapter.k > 0 || p.bias.data)))
        return 0;
    return cublas_panel_columns(stream, p.m, p.n, p.main.k, NF4J_BF16, !right.k_contiguous, p.workspace_used);
}

}  // namespace

bool cublas_takes_size(const nf4j_stream *stream, int64_t m, int64_t n, int64_t k, int32_t dtype) {
    return has_cublas(stream) && dtype == NF4J_BF16 && m >= least_rows && n >= least_columns && k > 0 &&
           m * n >= least_work / k && m <= INT_MAX && n <= INT_MAX && k <= INT_MAX;
}

int64_t cublas_panel_columns(const nf4j_stream *stream, int64_t m, int64_t n, int64_t k, int32_t dtype, bool backward,
                             int64_t workspace_used) {
    const Traits &device = traits_of(stream);
    if (!cublas_takes_size(stream, m, n, k, dtype) || device.capability != hopper ||
        m < (backward ? least_rows_backward : least_rows_forward))
        return 0;
    const int64_t most = free_bytes(stream, workspace_used) / (2 * k);
    if (most >= n) return n;
    const int64_t room = most / panel_step * panel_step;
    if (room == 0) return 0;
    const int64_t columns = ceil_div(ceil_div(n, ceil_div(n, room)), panel_step) * panel_step;
    return m * columns < device.multiprocessors * tile_of_cublas ? 0 : columns;
}

bool cublas_takes(const nf4j_stream *stream, const Product &p, int32_t dtype) {
    if (!cublas_takes_size(stream, p.m, p.n, p.main.k, dtype) || !is_plain(p.main.left) || p.ldc > INT_MAX)
        return false;
    return p.main.right.is_nf4 ? panel_columns(stream, p) > 0 : is_plain(p.main.right);
}

int32_t multiply_by_cublas(nf4j_stream *stream, const char *name, const Product &p) {
    Product main = p;
    if (p.adapter.k > 0 || p.bias.data) {
        const int32_t status = begin(stream, name, p);
        if (status != NF4J_OK) return status;
        main.beta = 1;
    }
    return p.main.right.is_nf4 ? multiply_panels(stream, name, main, panel_columns(stream, p))
                               : cublas_multiply(stream, name, main);
}

}  // namespace nf4j::cuda
