// The matrix product behind every family that multiplies: c = alpha * (left * right, summed over k) + beta * c + bias,
// where the sums may begin with a second, small product: a LoRA adapter's.
//
// F32 runs on FFMA (product_f32.cuh), BF16 on tensor cores (product_bf16.cuh). Each sum is one chain over ascending k,
// so its bits depend neither on the tile that it falls into nor on the rows beside it.
#pragma once

#include "cuda/dropout.cuh"
#include "cuda/nf4_weight.cuh"
#include "cuda/tiles.h"

namespace nf4j::cuda {

// One factor, seen as [outer, k]: outer are the rows of the left factor, the columns of the right one.
struct Operand {
    const void *data = nullptr;  // F32 or BF16, or:
    Nf4View nf4 = {};
    bool is_nf4 = false;
    bool is_bf16 = false;
    bool quads = false;        // four elements of a row can be loaded at once
    bool k_contiguous = true;  // element (o, k) at row o and column k of the matrix; else at row k and column o
    int64_t ld = 0;
    int64_t outer = 0;
    float scale = 1;      // elements are multiplied by it
    bool masked = false;  // elements that dropout drops are 0
    Dropout dropout{0, 0};
    // On tensor cores an element is the sum of this many BF16 numbers: 1 rounds it, 3 keep all bits of F32.
    int parts = 1;
};

struct Segment {
    Operand left;
    Operand right;
    int64_t k = 0;
};

// What becomes of the sums of a product.
struct Output {
    float alpha = 1;
    float beta = 0;
    AnyVector bias = {nullptr, false};
    void *c = nullptr;
    bool c_is_bf16 = false;
    int64_t ldc = 0;
    bool quads = false;  // four elements of a row can be stored at once
    int64_t m = 0;
    int64_t n = 0;
};

struct Product : Output {
    Segment main;
    Segment adapter;              // comes first; k = 0: none
    bool masked_adapter = false;  // sums of the adapter are multiplied by this dropout's factors
    Dropout dropout{0, 0};
    bool part_of_rows = false;   // of those of one call, which all get the same kernel
    int64_t workspace_used = 0;  // bytes at the beginning of the stream's workspace that hold other things
    int64_t splits = 1;          // of k: split s stores its sums as row s * m + i of c
};

// A matrix as a factor whose outer index is its row (so k runs along the row), or its column.
Operand rows_of(const nf4j_tensor *matrix);
Operand columns_of(const nf4j_tensor *matrix);
// The same of a weight [out, in]: rows for x * W^T, columns for dy * W.
Operand rows_of(const nf4j_nf4_weight *weight);
Operand columns_of(const nf4j_nf4_weight *weight);
Operand rows_of(const nf4j_linear *layer);
Operand columns_of(const nf4j_linear *layer);

// The factor with all bits of its elements, whatever the type of the activations.
Operand exactly(Operand operand);
Operand masked(Operand operand, const Dropout &dropout);

Product product(const Operand &left, const Operand &right, int64_t k, const nf4j_tensor *c);

// `dtype` of the activations decides between F32 and tensor cores.
int32_t multiply(nf4j_stream *stream, const char *name, const Product &product, int32_t dtype);

// Those of multiply's kernels that have files of their own: product_dense.cu, product_nf4.cu, nf4_gemv.cu,
// nf4_few_rows.cu, product_hopper.cu.
int32_t launch_dense(nf4j_stream *stream, const char *name, const Product &product, const Choice &choice);
int32_t launch_nf4(nf4j_stream *stream, const char *name, const Product &product, const Choice &choice);
int32_t launch_gemv(nf4j_stream *stream, const char *name, const Product &product, const Choice &choice);
int32_t launch_few_rows(nf4j_stream *stream, const char *name, const Product &product, const Choice &choice);
int32_t launch_wgmma(nf4j_stream *stream, const char *name, const Product &product, const Choice &choice);

// nf4.cu: out [rows, cols], BF16 with rows that begin at multiples of 16 bytes, = those elements of a weight with a scale for
// each row of a tile that begin at first_row and first_col; columns are whole tiles.
int32_t dequantize_panel(nf4j_stream *stream, const Nf4View &weight, int64_t first_row, int64_t first_col,
                         const nf4j_tensor *out);

}  // namespace nf4j::cuda
