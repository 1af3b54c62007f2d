#include "cuda/product.h"

#include "cuda/launch.h"
#include "cuda/product_bf16.cuh"
#include "cuda/product_f32.cuh"

#include <cstdio>

namespace nf4j::cuda {

Operand rows_of(const nf4j_tensor *matrix) {
    Operand x;
    x.data = matrix->data;
    x.is_bf16 = matrix->dtype == NF4J_BF16;
    x.ld = matrix->ld;
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

Operand rows_of(const nf4j_linear *layer) {
    return layer->dense ? rows_of(layer->dense) : rows_of(layer->nf4);
}

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
    p.m = c->rows;
    p.n = c->cols;
    return p;
}

namespace {

// Big where c fills a GPU with big tiles, small elsewhere.
using BigTile = Tile<128, 128, 2, 4>;
using SmallTile = Tile<64, 64, 2, 2>;
constexpr int64_t enough_big_tiles = 64;

template <Load left, Load right, class T>
int32_t launch_bf16(nf4j_stream *stream, const char *name, const Product &p) {
    const int64_t tiles = ceil_div(p.m, T::m) * ceil_div(p.n, T::n);
    return launch(stream, name, tiles, T::threads, Bf16Product<left, right, T>::shared_bytes,
                  product_bf16_kernel<left, right, T>, p);
}

bool takes_big_tiles(int64_t m, int64_t n) {
    return ceil_div(m, BigTile::m) * ceil_div(n, BigTile::n) >= enough_big_tiles;
}

template <Load left, Load right>
int32_t launch_bf16(nf4j_stream *stream, const char *name, const Product &p) {
    return takes_big_tiles(p.m, p.n) ? launch_bf16<left, right, BigTile>(stream, name, p)
                                     : launch_bf16<left, right, SmallTile>(stream, name, p);
}

// BF16 that 16-byte copies can fetch.
bool can_be_copied(const Operand &x) {
    return x.is_bf16 && !x.masked && x.scale == 1 && x.ld % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

int32_t multiply_bf16(nf4j_stream *stream, const char *name, const Product &p) {
    const Operand &left = p.main.left, &right = p.main.right;
    const bool copied = can_be_copied(left) && left.k_contiguous && left.parts == 1 && right.parts == 1;
    if (right.is_nf4 && right.k_contiguous) {
        return copied ? launch_bf16<Load::rows, Load::nf4_rows>(stream, name, p)
                      : launch_bf16<Load::elements, Load::nf4_rows, SmallTile>(stream, name, p);
    }
    if (right.is_nf4) {
        return copied ? launch_bf16<Load::rows, Load::nf4_columns>(stream, name, p)
                      : launch_bf16<Load::elements, Load::nf4_columns, SmallTile>(stream, name, p);
    }
    if (!copied || !can_be_copied(right))
        return launch_bf16<Load::elements, Load::elements, SmallTile>(stream, name, p);
    return right.k_contiguous ? launch_bf16<Load::rows, Load::rows>(stream, name, p)
                              : launch_bf16<Load::rows, Load::columns>(stream, name, p);
}

}  // namespace

int32_t multiply(nf4j_stream *stream, const char *name, const Product &p, int32_t dtype) {
    if (dtype == NF4J_BF16) return multiply_bf16(stream, name, p);
    const int64_t tiles = ceil_div(p.m, f32_tile) * ceil_div(p.n, f32_tile);
    return launch(stream, name, tiles, f32_threads, f32_shared_bytes, product_f32_kernel, p);
}

void explain_product(int64_t m, int64_t n, int64_t k, int32_t dtype, char *text, int64_t capacity) {
    const auto size = static_cast<size_t>(capacity);
    const auto K = static_cast<long long>(k);
    if (dtype != NF4J_BF16) {
        std::snprintf(text, size, "FFMA, tiles of %dx%dx%d, 2 buffers, %lld blocks, k = %lld in one chain", f32_tile,
                      f32_tile, f32_depth, static_cast<long long>(ceil_div(m, f32_tile) * ceil_div(n, f32_tile)), K);
        return;
    }
    const bool big = takes_big_tiles(m, n);
    const int tile_m = big ? BigTile::m : SmallTile::m, tile_n = big ? BigTile::n : SmallTile::n;
    std::snprintf(text, size,
                  "mma.sync m16n8k16, tiles of %dx%dx%d (128x128 from %lld such tiles on), %d stages of cp.async where "
                  "rows are 16-byte "
                  "aligned, %lld blocks, k = %lld in one chain",
                  tile_m, tile_n, bf16_depth, static_cast<long long>(enough_big_tiles), BigTile::stages,
                  static_cast<long long>(ceil_div(m, tile_m) * ceil_div(n, tile_n)), K);
}

}  // namespace nf4j::cuda
