#include "cuda/product.h"

#include "cuda/adapter_parts.cuh"
#include "cuda/device.h"
#include "cuda/launch.h"
#include "cuda/product_cublas.h"
#include "cuda/product_f32.cuh"
#include "cuda/split.cuh"

namespace nf4j::cuda {

namespace {

// Whether four elements of a row, from a multiple of four on, can be moved at once.
bool are_quads(const nf4j_tensor *matrix) {
    return matrix->ld % 4 == 0 &&
           reinterpret_cast<uintptr_t>(matrix->data) % static_cast<uintptr_t>(4 * dtype_size(matrix->dtype)) == 0;
}

}  // namespace

Operand rows_of(const nf4j_tensor *matrix) {
    Operand x;
    x.data = matrix->data;
    x.is_bf16 = matrix->dtype == NF4J_BF16;
    x.ld = matrix->ld;
    x.quads = are_quads(matrix);
    x.outer = matrix->rows;
    return x;
}

Operand columns_of(const nf4j_tensor *matrix) {
    Operand x = rows_of(matrix);
    x.k_contiguous = false;
    x.outer = matrix->cols;
    return x;
}

Operand rows_of(const nf4j_nf4_weight *weight) {
    Operand x;
    x.is_nf4 = true;
    x.nf4 = nf4_view(weight);
    x.outer = weight->rows;
    return x;
}

Operand columns_of(const nf4j_nf4_weight *weight) {
    Operand x = rows_of(weight);
    x.k_contiguous = false;
    x.outer = weight->cols;
    return x;
}

Operand rows_of(const nf4j_linear *layer) { return layer->dense ? rows_of(layer->dense) : rows_of(layer->nf4); }

Operand columns_of(const nf4j_linear *layer) {
    return layer->dense ? columns_of(layer->dense) : columns_of(layer->nf4);
}

Operand exactly(Operand operand) {
    operand.parts = operand.is_bf16 && operand.scale == 1 ? 1 : 3;
    return operand;
}

Operand masked(Operand operand, const Dropout &dropout) {
    operand.masked = dropout.active();
    operand.dropout = dropout;
    return operand;
}

Product product(const Operand &left, const Operand &right, int64_t k, const nf4j_tensor *c) {
    Product p;
    p.main = {left, right, k};
    p.c = c->data;
    p.c_is_bf16 = c->dtype == NF4J_BF16;
    p.ldc = c->ld;
    p.quads = are_quads(c);
    p.m = c->rows;
    p.n = c->cols;
    return p;
}

namespace {

// BF16 that 16-byte copies can fetch.
bool can_be_copied(const Operand &x) {
    return x.is_bf16 && !x.masked && x.scale == 1 && x.ld % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

ProductShape shape_of(const Product &p, int32_t dtype) {
    const Operand &left = p.main.left, &right = p.main.right;
    const bool rows = can_be_copied(left) && left.k_contiguous && left.parts == 1;
    const bool copied = rows && (right.is_nf4 ? right.nf4.scale_per_row : can_be_copied(right)) && right.parts == 1;
    return {p.m,
            p.n,
            dtype == NF4J_BF16 ? p.main.k * part_products(left.parts, right.parts) : p.main.k,
            dtype == NF4J_BF16,
            copied ? Access::copied
            : rows ? Access::rows
                   : Access::any,
            !right.is_nf4                         ? Weight::dense
            : right.nf4.scale_per_row             ? Weight::nf4_row_scales
            : right.nf4.cols % nf4_tile_cols == 0 ? Weight::nf4_whole_tiles
                                                  : Weight::nf4,
            right.k_contiguous,
            p.part_of_rows,
            p.masked_adapter,
            SharedArena::bytes_of(AdapterParts(p.adapter, p.m, p.n, nullptr).bytes)};
}

// A scale for each row of a tile of NF4 lets whole tiles be decoded; other weights are converted element by element.
bool is_decoded(const Operand &right) { return right.is_nf4 && right.nf4.scale_per_row; }

int32_t launch(nf4j_stream *stream, const char *name, const Product &p, const Choice &choice) {
    switch (choice.variant->kernel) {
        case Kernel::gemv: return launch_gemv(stream, name, p, choice);
        case Kernel::few_rows: return launch_few_rows(stream, name, p, choice);
        case Kernel::wgmma_256:
        case Kernel::wgmma_128: return launch_wgmma(stream, name, p, choice);
        case Kernel::tiles_256:
        case Kernel::tiles_128:
        case Kernel::tiles_64:
        case Kernel::converted_64:
            return is_decoded(p.main.right) ? launch_nf4(stream, name, p, choice)
                                            : launch_dense(stream, name, p, choice);
        case Kernel::ffma:
            return launch(stream, name, choice.blocks, f32_threads, f32_shared_bytes, product_f32_kernel, p);
    }
    return NF4J_INTERNAL;
}

}  // namespace

int32_t multiply(nf4j_stream *stream, const char *name, const Product &product, int32_t dtype) {
    if (product.m == 0 || product.n == 0) return NF4J_OK;  // a layer without outputs or inputs
    if (cublas_takes(stream, product, dtype)) return multiply_by_cublas(stream, name, product);
    if (product.main.k > INT32_MAX)
        return fail(NF4J_UNSUPPORTED, "%s: sums of %lld products are longer than a kernel counts", name,
                    static_cast<long long>(product.main.k));
    const int64_t used = SharedArena::bytes_of(product.workspace_used), room = stream->workspace_bytes - used;
    const ProductShape shape = shape_of(product, dtype);
    const Choice choice = choose(shape, traits_of(stream), room);
    if (choice.workspace_bytes == 0) return launch(stream, name, product, choice);
    Product sums = product;
    sums.splits = choice.splits;
    sums.c = stream->workspace + used + shape.adapter_bytes;
    sums.c_is_bf16 = false;
    sums.ldc = product.n;
    sums.quads = product.n % 4 == 0;
    sums.alpha = 1;
    sums.beta = 0;
    sums.bias = {nullptr, false};
    const int32_t status = launch(stream, name, sums, choice);
    if (status != NF4J_OK) return status;
    const Matrix<float> partial = {static_cast<float *>(sums.c), sums.ldc};
    return for_each_element(stream, name, product.m, product.n, AddSplits{product, partial, choice.splits});
}

}  // namespace nf4j::cuda
