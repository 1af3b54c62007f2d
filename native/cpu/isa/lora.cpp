// LoRA over a frozen dense or NF4 layer, in the notation of nf4j.h. The factors of the adapter's own products count with
// all bits of F32, whatever the activations are: these products are a few percent of the work.
#include "cpu/device.h"
#include "cpu/isa/gemm.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

namespace {

float scale_of(const nf4j_lora &lora) {
    const float rank = static_cast<float>(lora.b->cols);
    return lora.alpha / (lora.rank_stabilized ? __builtin_sqrtf(rank) : rank);
}

Operand with_dropout(Operand x, const Dropout &dropout) {
    x.dropout = dropout.active() ? &dropout : nullptr;
    return x;
}

}  // namespace

// One product after the other: each adapter has a mask of its own, and so x has to be packed for each.
int32_t lora_project(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_lora *const *loras, int64_t count,
                     const nf4j_tensor *const *us) {
    for (int64_t i = 0; i < count; i++) {
        const Dropout dropout(loras[i]->seed, loras[i]->dropout, loras[i]->device_seed);
        multiply(pool_of(stream), product({with_dropout(rows_of(*x), dropout), rows_of(*loras[i]->a), x->cols,
                                           exact_words_for(x->dtype)},
                                          us[i]));
    }
    return NF4J_OK;
}

int32_t lora_apply(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_linear *base, const nf4j_lora *lora,
                   const nf4j_tensor *u, const nf4j_tensor *y) {
    Product p = product({rows_of(*x), rows_of(*base), x->cols, words_for(x->dtype)}, y);
    Operand scaled_u = rows_of(*u);
    scaled_u.scale = scale_of(*lora);
    p.segments[p.count++] = {scaled_u, rows_of(*lora->b), u->cols, exact_words_for(x->dtype)};
    p.bias = base->bias;
    multiply(pool_of(stream), p);
    return NF4J_OK;
}

int32_t lora_backward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *dy, const nf4j_tensor *u,
                      const nf4j_linear *base, const nf4j_lora *lora, int32_t accumulate_dx, const nf4j_tensor *da,
                      const nf4j_tensor *db, const nf4j_tensor *dx) {
    ThreadPool &pool = pool_of(stream);
    const int64_t tokens = x->rows, rank = lora->a->rows, needed = tokens * rank * int64_t{sizeof(float)};
    if (needed > stream->workspace_bytes) {
        return fail(NF4J_OUT_OF_MEMORY,
                    "lora_backward: %lld tokens of rank %lld need a workspace of %lld bytes, the stream has %lld",
                    static_cast<long long>(tokens), static_cast<long long>(rank), static_cast<long long>(needed),
                    static_cast<long long>(stream->workspace_bytes));
    }
    const Dropout dropout(lora->seed, lora->dropout, lora->device_seed);
    const Words words = exact_words_for(x->dtype);
    const nf4j_tensor du = {stream->workspace, tokens, rank, rank, NF4J_F32, 0};

    Product p = product({rows_of(*dy), columns_of(*lora->b), dy->cols, words}, &du);
    p.alpha = scale_of(*lora);
    multiply(pool, p);

    p = product({columns_of(*dy), columns_of(*u), tokens, words}, db);
    p.alpha = scale_of(*lora);
    p.beta = 1;
    multiply(pool, p);

    p = product({columns_of(du), with_dropout(columns_of(*x), dropout), tokens, words}, da);
    p.beta = 1;
    multiply(pool, p);

    if (dx) {
        // The adapter's part comes first, where the mask can still be applied to it alone.
        p = product({rows_of(du), columns_of(*lora->a), rank, words}, dx);
        p.dropout_after_first = dropout.active() ? &dropout : nullptr;
        p.segments[p.count++] = {rows_of(*dy), columns_of(*base), dy->cols, words_for(dy->dtype)};
        p.beta = accumulate_dx ? 1 : 0;
        multiply(pool, p);
    }
    return NF4J_OK;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
