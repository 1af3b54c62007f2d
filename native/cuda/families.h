// The operations of nf4j.h as this backend does them; backend.cu puts them into its table.
#pragma once

#include "core/backend.h"
#include "cuda/tiles.h"

namespace nf4j::cuda {

// memory.cu
decltype(nf4j_memory_copy) memory_copy;
decltype(nf4j_memory_fill) memory_fill;
decltype(nf4j_memory_cast) memory_cast;
decltype(nf4j_memory_add) memory_add;

// nf4.cu
int64_t nf4_weight_bytes(int64_t rows, int64_t cols, int64_t block_size, int32_t double_quant);
decltype(nf4j_nf4_quantize) nf4_quantize;
decltype(nf4j_nf4_dequantize) nf4_dequantize;
decltype(nf4j_nf4_import) nf4_import;
decltype(nf4j_nf4_export) nf4_export;
// Any of the kernels, for the question whether a device has code of this build.
const void *any_kernel();

// dense.cu
decltype(nf4j_nf4_matmul) nf4_matmul;
decltype(nf4j_nf4_matmul_backward) nf4_matmul_backward;
decltype(nf4j_dense_matmul) dense_matmul;

// lora.cu
decltype(nf4j_lora_project) lora_project;
decltype(nf4j_lora_apply) lora_apply;
decltype(nf4j_lora_backward) lora_backward;

// loss.cu
decltype(nf4j_loss_linear_cross_entropy) loss_linear_cross_entropy;

// norm.cu
decltype(nf4j_norm_forward) norm_forward;
decltype(nf4j_norm_backward) norm_backward;

// rope.cu
decltype(nf4j_rope_table) rope_table;
decltype(nf4j_rope_forward) rope_forward;
decltype(nf4j_rope_backward) rope_backward;

// attention.cu
decltype(nf4j_attention_forward) attention_forward;
decltype(nf4j_attention_backward) attention_backward;

// mlp.cu
decltype(nf4j_mlp_swiglu_forward) mlp_swiglu_forward;
decltype(nf4j_mlp_swiglu_backward) mlp_swiglu_backward;

// embedding.cu
decltype(nf4j_embedding_forward) embedding_forward;
decltype(nf4j_embedding_backward) embedding_backward;

// optim.cu
decltype(nf4j_optim_global_norm) optim_global_norm;
decltype(nf4j_optim_adamw_step) optim_adamw_step;
decltype(nf4j_optim_adamw) optim_adamw;

}  // namespace nf4j::cuda
