// LoRA over a frozen dense or NF4 layer, in the notation of nf4j.h. The adapter's factors keep all bits of F32, on
// tensor cores as three BF16 numbers each; dropout's mask is drawn anew wherever it is needed.
#include "cuda/lora.cuh"

#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/launch.h"
#include "cuda/split.cuh"

#include <algorithm>
#include <cmath>

namespace nf4j::cuda {

namespace {

float scale_of(const nf4j_lora *lora) {
    const auto rank = static_cast<float>(lora->a->rows);
    return lora->alpha / (lora->rank_stabilized ? std::sqrt(rank) : rank);
}

// Products of one tall matrix [tokens, n], x or dy, with thin factors.
struct ThinProducts {
    const char *name;
    const nf4j_tensor *tall;
    int64_t rank;
    const Product *narrow = nullptr;  // tall * f, or absent
    const Product *wide = nullptr;    // tall^T * g, or its transpose; adds to what there is. Or absent
};

int64_t in_quads(int64_t count) { return ceil_div(count, 4) * 4; }

int64_t ranges_for(int64_t tokens, int64_t most) {
    return std::max<int64_t>(std::min(most, ceil_div(tokens, lora_tokens)), 1);
}

template <bool has_narrow, bool has_wide>
int32_t launch_pass(nf4j_stream *stream, const char *name, const LoraPass &pass) {
    const int64_t blocks = ceil_div(pass.n, lora_cols) * pass.ranges * ceil_div(pass.rank, lora_ranks);
    return launch(stream, name, blocks, lora_threads, LoraBlock<has_narrow, has_wide>::shared_bytes,
                  lora_kernel<has_narrow, has_wide>, pass);
}

// In one pass over the tall matrix, or in a few where the workspace has no room for the sums of all tokens. False: not
// even for those of a tile.
bool multiply_in_passes(nf4j_stream *stream, const ThinProducts &thin, int32_t *status) {
    const int64_t tokens = thin.tall->rows, n = thin.tall->cols;
    const Product *narrow = thin.narrow, *wide = thin.wide;
    const bool transposed = wide && wide->main.right.data == thin.tall->data;
    LoraPass pass = {};
    pass.tall = narrow ? narrow->main.left : transposed ? wide->main.right : wide->main.left;
    pass.aligned = pass.tall.ld % 8 == 0 && reinterpret_cast<uintptr_t>(pass.tall.data) % 16 == 0;
    pass.n = n;
    pass.rank = thin.rank;
    if (narrow) pass.f = narrow->main.right;
    if (wide) pass.g = transposed ? wide->main.left : wide->main.right;

    // Ranges for about two blocks on each multiprocessor.
    const int64_t blocks_of_range = ceil_div(n, lora_cols) * ceil_div(thin.rank, lora_ranks);
    int64_t most_ranges = 2 * traits_of(stream).multiprocessors / blocks_of_range;
    const int64_t used = SharedArena::bytes_of((narrow ? narrow : wide)->workspace_used);
    int64_t room = stream->workspace_bytes - used;
    auto *sums = reinterpret_cast<float *>(static_cast<char *>(stream->workspace) + used);
    if (wide) {
        const int64_t pitch = in_quads(wide->n);
        pass.wide = sums;
        pass.wide_range = wide->m * pitch;
        pass.wide_col = transposed ? 1 : pitch;
        pass.wide_rank = transposed ? pitch : 1;
        most_ranges = std::min(most_ranges, room / 2 / (pass.wide_range * 4));
        const int64_t ranges = ranges_for(tokens, most_ranges);
        room -= ranges * pass.wide_range * 4;
        sums += ranges * pass.wide_range;
        if (room < 0) return false;
    }
    int64_t at_once = tokens;
    const int64_t sums_of_token = ceil_div(n, lora_narrow_cols);
    if (narrow) {
        pass.narrow = {sums, in_quads(thin.rank)};
        at_once = room / (sums_of_token * pass.narrow.ld * 4) / lora_tokens * lora_tokens;
        if (at_once == 0) return false;
    }

    for (pass.first = 0; pass.first < tokens; pass.first = pass.end) {
        pass.end = std::min(pass.first + at_once, tokens);
        pass.ranges = ranges_for(pass.end - pass.first, most_ranges);
        *status = narrow && wide ? launch_pass<true, true>(stream, thin.name, pass)
                  : narrow       ? launch_pass<true, false>(stream, thin.name, pass)
                                 : launch_pass<false, true>(stream, thin.name, pass);
        if (narrow && *status == NF4J_OK) {
            Product part = *narrow;
            part.c = static_cast<float *>(part.c) + pass.first * part.ldc;
            part.m = pass.end - pass.first;
            *status = for_each_element(stream, thin.name, part.m, part.n, AddSplits{part, pass.narrow, sums_of_token});
        }
        if (wide && *status == NF4J_OK) {
            const Matrix<float> partial = {pass.wide, in_quads(wide->n)};
            *status = for_each_element(stream, thin.name, wide->m, wide->n, AddSplits{*wide, partial, pass.ranges});
        }
        if (*status != NF4J_OK) break;
    }
    return true;
}

// BF16 takes the passes of lora.cuh; F32, and what has no workspace for them, a product at a time.
int32_t multiply_thin(nf4j_stream *stream, const ThinProducts &thin) {
    int32_t status = NF4J_OK;
    if (thin.tall->dtype == NF4J_BF16 && multiply_in_passes(stream, thin, &status)) return status;
    if (thin.narrow) status = multiply(stream, thin.name, *thin.narrow, thin.tall->dtype);
    if (thin.wide && status == NF4J_OK) status = multiply(stream, thin.name, *thin.wide, thin.tall->dtype);
    return status;
}

}  // namespace

int32_t lora_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                     const nf4j_tensor *u, const nf4j_tensor *y) {
    const Dropout dropout(lora->seed, lora->dropout, lora->device_seed);
    Product p = product(exactly(masked(rows_of(x), dropout)), exactly(rows_of(lora->a)), x->cols, u);
    p.alpha = dropout.scale;
    const int32_t status = multiply_thin(stream, {"lora_u", x, u->cols, &p, nullptr});
    if (status != NF4J_OK) return status;

    p = product(rows_of(x), rows_of(base), x->cols, y);
    Operand scaled_u = rows_of(u);
    scaled_u.scale = scale_of(lora);
    p.adapter = {exactly(scaled_u), exactly(rows_of(lora->b)), u->cols};
    p.bias = vector_of(base->bias);
    return multiply(stream, "lora_y", p, x->dtype);
}

int32_t lora_backward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *dy, const nf4j_tensor *u,
                      const nf4j_linear *base, const nf4j_lora *lora, int32_t accumulate_dx, const nf4j_tensor *da,
                      const nf4j_tensor *db, const nf4j_tensor *dx) {
    const int64_t tokens = x->rows, rank = lora->a->rows;
    const Dropout dropout(lora->seed, lora->dropout, lora->device_seed);
    const int64_t du_bytes = tokens * rank * 4;
    void *memory = workspace(stream, "lora_backward", du_bytes);
    if (!memory) return NF4J_OUT_OF_MEMORY;
    const nf4j_tensor du = {memory, tokens, rank, rank, NF4J_F32, 0};

    Product to_u = product(exactly(rows_of(dy)), exactly(columns_of(lora->b)), dy->cols, &du);
    to_u.alpha = scale_of(lora);
    to_u.workspace_used = du_bytes;
    Product to_b = product(exactly(columns_of(dy)), exactly(columns_of(u)), tokens, db);
    to_b.alpha = scale_of(lora);
    to_b.beta = 1;
    to_b.workspace_used = du_bytes;
    int32_t status = multiply_thin(stream, {"lora_du_db", dy, rank, &to_u, &to_b});
    if (status != NF4J_OK) return status;

    Product p = product(exactly(columns_of(&du)), exactly(masked(columns_of(x), dropout)), tokens, da);
    p.alpha = dropout.scale;
    p.beta = 1;
    p.workspace_used = du_bytes;
    status = multiply_thin(stream, {"lora_da", x, rank, nullptr, &p});
    if (status != NF4J_OK || !dx) return status;

    p = product(rows_of(dy), columns_of(base), dy->cols, dx);
    p.adapter = {exactly(rows_of(&du)), exactly(columns_of(lora->a)), rank};
    p.masked_adapter = dropout.active();
    p.dropout = dropout;
    p.beta = accumulate_dx ? 1 : 0;
    p.workspace_used = du_bytes;
    return multiply(stream, "lora_dx", p, x->dtype);
}

}  // namespace nf4j::cuda
