// When cuBLAS has the large part of a product: product_cublas.cu.
#pragma once

#include "cuda/product.h"

namespace nf4j::cuda {

// Whether cuBLAS takes products with dense weights of this size, and whether it takes this one. Small ones run on our own
// kernels, which give a row the same bits whatever the number of rows.
bool cublas_takes_size(const nf4j_stream *stream, int64_t m, int64_t n, int64_t k, int32_t dtype);
bool cublas_takes(const nf4j_stream *stream, const Product &product, int32_t dtype);

// Of a product with NF4, x * W^T without an adapter or dy * W (backward): how many columns of c cuBLAS computes at once, from a panel
// of weights in the workspace behind what is used of it. 0: it does not take the product.
int64_t cublas_panel_columns(const nf4j_stream *stream, int64_t m, int64_t n, int64_t k, int32_t dtype, bool backward,
                             int64_t workspace_used);

int32_t multiply_by_cublas(nf4j_stream *stream, const char *name, const Product &product);

}  // namespace nf4j::cuda
