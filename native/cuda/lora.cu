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
    const auto rank = static_cast<float>(lora->b->cols);
    return lora->alpha / (lora->rank_stabilized ? std::sqrt(rank) : rank);
}

// Products of one tall matrix [tokens, n], x or dy, with thin factors.
struct ThinProducts {
    const char *name;
    const nf4j_tensor *tall;
    const Product *narrow;          // [count]: tall * f, for each adapter. Or absent
    int64_t count;                  // at most most_projected; 1 beside wide
    const Product *wide = nullptr;  // tall^T * g, or its transpose; adds to what there is. Or absent

    const Product &any() const { return narrow ? *narrow : *wide; }
    // Whether wide is the transpose.
    bool transposed() const { return wide && wide->main.right.data == tall->data; }
};

int64_t in_quads(int64_t count) { return ceil_div(count, 4) * 4; }

int64_t ranges_for(int64_t tokens, int64_t most) {
    return std::max<int64_t>(std::min(most, ceil_div(tokens, lora_tokens)), 1);
}

// What all passes have in common.
LoraPass pass_of(const ThinProducts &thin) {
    const nf4j_tensor &tall = *thin.tall;
    LoraPass pass = {};
    pass.tall = matrix_of<const bf16>(&tall);
    pass.aligned = tall.ld % 8 == 0 && reinterpret_cast<uintptr_t>(tall.data) % 16 == 0;
    pass.n = tall.cols;
    if (thin.wide) {
        const Segment &factors = thin.wide->main;
        pass.g = thin.transposed() ? factors.left : factors.right;
        pass.shares[0].rank = pass.g.outer;
        pass.shares[0].dropout = (thin.transposed() ? factors.right : factors.left).dropout;
    }
    for (int64_t i = 0; thin.narrow && i < thin.count; i++) {
        const Product &p = thin.narrow[i];
        pass.shares[i] = {p.n, p.main.left.dropout, p.main.right, pass.narrow.ld, in_quads(p.n)};
        pass.narrow.ld += pass.shares[i].columns;
    }
    for (const LoraShare &share : pass.shares) pass.rank_blocks += ceil_div(share.rank, lora_ranks);
    return pass;
}

template <bool has_narrow, bool has_wide>
int32_t launch_pass(nf4j_stream *stream, const char *name, const LoraPass &pass) {
    return launch(stream, name, ceil_div(pass.n, lora_cols) * pass.ranges * pass.rank_blocks, lora_threads,
                  LoraBlock<has_narrow, has_wide>::shared_bytes, lora_kernel<has_narrow, has_wide>, pass);
}

int32_t add_narrow(nf4j_stream *stream, const ThinProducts &thin, const LoraPass &pass) {
    AddNarrow add = {};
    add.partial = pass.narrow;
    add.splits = ceil_div(pass.n, lora_narrow_cols);
    add.tokens = pass.end - pass.first;
    add.count = static_cast<int>(thin.count);
    for (int64_t i = 0; i < thin.count; i++) {
        add.column[i] = pass.shares[i].column;
        add.outputs[i] = thin.narrow[i];
        add.outputs[i].c = static_cast<float *>(thin.narrow[i].c) + pass.first * thin.narrow[i].ldc;
    }
    return for_each_element(stream, thin.name, add.tokens, pass.narrow.ld, add);
}

// In one pass over the tall matrix, or in a few where the workspace has no room for the sums of all tokens. False: not
// even for those of a tile.
bool multiply_in_passes(nf4j_stream *stream, const ThinProducts &thin, int32_t *status) {
    const int64_t tokens = thin.tall->rows, n = thin.tall->cols;
    if (n == 0) return false;
    const Product *narrow = thin.narrow, *wide = thin.wide;
    LoraPass pass = pass_of(thin);

    // Ranges for about two blocks on each multiprocessor.
    int64_t most_ranges = 2 * traits_of(stream).multiprocessors / (ceil_div(n, lora_cols) * pass.rank_blocks);
    const int64_t used = SharedArena::bytes_of(thin.any().workspace_used);
    int64_t room = stream->workspace_bytes - used;
    auto *sums = reinterpret_cast<float *>(static_cast<char *>(stream->workspace) + used);
    if (wide) {
        const int64_t pitch = in_quads(wide->n);
        pass.wide = sums;
        pass.wide_range = wide->m * pitch;
        pass.wide_col = thin.transposed() ? 1 : pitch;
        pass.wide_rank = thin.transposed() ? pitch : 1;
        most_ranges = std::min(most_ranges, room / 2 / (pass.wide_range * 4));
        const int64_t ranges = ranges_for(tokens, most_ranges);
        room -= ranges * pass.wide_range * 4;
        sums += ranges * pass.wide_range;
        if (room < 0) return false;
    }
    int64_t at_once = tokens;
    if (narrow) {
        pass.narrow.data = sums;
        at_once = room / (ceil_div(n, lora_narrow_cols) * pass.narrow.ld * 4) / lora_tokens * lora_tokens;
        if (at_once == 0) return false;
    }

    for (pass.first = 0; pass.first < tokens; pass.first = pass.end) {
        pass.end = std::min(pass.first + at_once, tokens);
        pass.ranges = ranges_for(pass.end - pass.first, most_ranges);
        *status = narrow && wide ? launch_pass<true, true>(stream, thin.name, pass)
                  : narrow       ? launch_pass<true, false>(stream, thin.name, pass)
                                 : launch_pass<false, true>(stream, thin.name, pass);
        if (narrow && *status == NF4J_OK) *status = add_narrow(stream, thin, pass);
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
    if (thin.count > 1) {  // each as it would be alone: in a pass of its own where there is room for that
        for (int64_t i = 0; i < thin.count && status == NF4J_OK; i++) {
            status = multiply_thin(stream, {thin.name, thin.tall, thin.narrow + i, 1});
        }
        return status;
    }
    if (thin.narrow) {
        Product whole = *thin.narrow;
        whole.part_of_rows = true;  // how k is split would follow from the number of tokens
        status = multiply(stream, thin.name, whole, thin.tall->dtype);
    }
    if (thin.wide && status == NF4J_OK) status = multiply(stream, thin.name, *thin.wide, thin.tall->dtype);
    return status;
}

}  // namespace

int32_t lora_project(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_lora *const *loras, int64_t count,
                     const nf4j_tensor *const *us) {
    Product products[most_projected];
    for (int64_t i = 0; i < count; i++) {
        const Dropout dropout(loras[i]->seed, loras[i]->dropout, loras[i]->device_seed);
        products[i] = product(exactly(masked(rows_of(x), dropout)), exactly(rows_of(loras[i]->a)), x->cols, us[i]);
        products[i].alpha = dropout.scale;
    }
    return multiply_thin(stream, {"lora_u", x, products, count});
}

int32_t lora_apply(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                   const nf4j_tensor *u, const nf4j_tensor *y) {
    Product p = product(rows_of(x), rows_of(base), x->cols, y);
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
    int32_t status = multiply_thin(stream, {"lora_du_db", dy, &to_u, 1, &to_b});
    if (status != NF4J_OK) return status;

    Product p = product(exactly(columns_of(&du)), exactly(masked(columns_of(x), dropout)), tokens, da);
    p.alpha = dropout.scale;
    p.beta = 1;
    p.workspace_used = du_bytes;
    status = multiply_thin(stream, {"lora_da", x, nullptr, 1, &p});
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
