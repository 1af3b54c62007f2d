// LoRA over a frozen dense or NF4 layer, in the notation of nf4j.h. The adapter's factors keep all bits of F32, on
// tensor cores as three BF16 numbers each; dropout's mask is drawn anew wherever it is needed.
#include "cuda/device.h"
#include "cuda/families.h"
#include "cuda/product.h"

#include <cmath>

namespace nf4j::cuda {

namespace {

float scale_of(const nf4j_lora *lora) {
    const auto rank = static_cast<float>(lora->a->rows);
    return lora->alpha / (lora->rank_stabilized ? std::sqrt(rank) : rank);
}

}  // namespace

int32_t lora_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                     const nf4j_tensor *u, const nf4j_tensor *y) {
    const Dropout dropout(lora->seed, lora->dropout);
    Product p = product(exactly(masked(rows_of(x), dropout)), exactly(rows_of(lora->a)), x->cols, u);
    p.alpha = dropout.scale;
    const int32_t status = multiply(stream, "lora_u", p, x->dtype);
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
    const Dropout dropout(lora->seed, lora->dropout);
    const int64_t du_bytes = tokens * rank * 4;
    void *memory = workspace(stream, "lora_backward", du_bytes);
    if (!memory) return NF4J_OUT_OF_MEMORY;
    const nf4j_tensor du = {memory, tokens, rank, rank, NF4J_F32, 0};

    Product p = product(exactly(rows_of(dy)), exactly(columns_of(lora->b)), dy->cols, &du);
    p.alpha = scale_of(lora);
    p.workspace_used = du_bytes;
    int32_t status = multiply(stream, "lora_du", p, x->dtype);
    if (status != NF4J_OK) return status;

    p = product(exactly(columns_of(dy)), exactly(columns_of(u)), tokens, db);
    p.alpha = scale_of(lora);
    p.beta = 1;
    p.workspace_used = du_bytes;
    status = multiply(stream, "lora_db", p, x->dtype);
    if (status != NF4J_OK) return status;

    p = product(exactly(columns_of(&du)), exactly(masked(columns_of(x), dropout)), tokens, da);
    p.alpha = dropout.scale;
    p.beta = 1;
    p.workspace_used = du_bytes;
    status = multiply(stream, "lora_da", p, x->dtype);
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
