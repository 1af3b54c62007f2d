// nf4j_abi_layout: what bindings compare their own struct layouts with.
#include "nf4j.h"

#include <cstddef>
#include <cstdio>

namespace {

struct Entry {
    const char *name;
    int offset;  // -1: the struct itself
    int size;
};

#define STRUCT(type) {#type, -1, sizeof(type)}
#define FIELD(type, field) {#type "." #field, offsetof(type, field), sizeof(type::field)}

constexpr Entry entries[] = {
    STRUCT(nf4j_tensor),
    FIELD(nf4j_tensor, data),
    FIELD(nf4j_tensor, rows),
    FIELD(nf4j_tensor, cols),
    FIELD(nf4j_tensor, ld),
    FIELD(nf4j_tensor, dtype),
    FIELD(nf4j_tensor, reserved),
    STRUCT(nf4j_device_options),
    FIELD(nf4j_device_options, struct_size),
    FIELD(nf4j_device_options, backend),
    FIELD(nf4j_device_options, ordinal),
    FIELD(nf4j_device_options, threads),
    FIELD(nf4j_device_options, isa),
    FIELD(nf4j_device_options, reserved),
    STRUCT(nf4j_device_info),
    FIELD(nf4j_device_info, struct_size),
    FIELD(nf4j_device_info, backend),
    FIELD(nf4j_device_info, ordinal),
    FIELD(nf4j_device_info, threads),
    FIELD(nf4j_device_info, isa),
    FIELD(nf4j_device_info, host_accessible),
    FIELD(nf4j_device_info, total_memory),
    FIELD(nf4j_device_info, free_memory),
    FIELD(nf4j_device_info, name),
    STRUCT(nf4j_stream_options),
    FIELD(nf4j_stream_options, struct_size),
    FIELD(nf4j_stream_options, reserved),
    FIELD(nf4j_stream_options, native_stream),
    FIELD(nf4j_stream_options, workspace_bytes),
    STRUCT(nf4j_nf4_weight),
    FIELD(nf4j_nf4_weight, struct_size),
    FIELD(nf4j_nf4_weight, double_quant),
    FIELD(nf4j_nf4_weight, rows),
    FIELD(nf4j_nf4_weight, cols),
    FIELD(nf4j_nf4_weight, block_size),
    FIELD(nf4j_nf4_weight, data),
    FIELD(nf4j_nf4_weight, bytes),
    STRUCT(nf4j_nf4_state),
    FIELD(nf4j_nf4_state, struct_size),
    FIELD(nf4j_nf4_state, nested_offset),
    FIELD(nf4j_nf4_state, rows),
    FIELD(nf4j_nf4_state, cols),
    FIELD(nf4j_nf4_state, block_size),
    FIELD(nf4j_nf4_state, codes),
    FIELD(nf4j_nf4_state, absmax),
    FIELD(nf4j_nf4_state, absmax8),
    FIELD(nf4j_nf4_state, quant_map),
    FIELD(nf4j_nf4_state, nested_absmax),
    FIELD(nf4j_nf4_state, nested_map),
    STRUCT(nf4j_matmul_options),
    FIELD(nf4j_matmul_options, struct_size),
    FIELD(nf4j_matmul_options, transpose_a),
    FIELD(nf4j_matmul_options, transpose_b),
    FIELD(nf4j_matmul_options, alpha),
    FIELD(nf4j_matmul_options, beta),
    FIELD(nf4j_matmul_options, reserved),
    STRUCT(nf4j_linear),
    FIELD(nf4j_linear, struct_size),
    FIELD(nf4j_linear, reserved),
    FIELD(nf4j_linear, dense),
    FIELD(nf4j_linear, nf4),
    FIELD(nf4j_linear, bias),
    STRUCT(nf4j_lora),
    FIELD(nf4j_lora, struct_size),
    FIELD(nf4j_lora, rank_stabilized),
    FIELD(nf4j_lora, alpha),
    FIELD(nf4j_lora, dropout),
    FIELD(nf4j_lora, seed),
    FIELD(nf4j_lora, device_seed),
    FIELD(nf4j_lora, a),
    FIELD(nf4j_lora, b),
    STRUCT(nf4j_attention_options),
    FIELD(nf4j_attention_options, struct_size),
    FIELD(nf4j_attention_options, heads),
    FIELD(nf4j_attention_options, kv_heads),
    FIELD(nf4j_attention_options, head_dim),
    FIELD(nf4j_attention_options, scale),
    FIELD(nf4j_attention_options, window),
    FIELD(nf4j_attention_options, sequences),
    FIELD(nf4j_attention_options, q_offsets),
    FIELD(nf4j_attention_options, kv_offsets),
    FIELD(nf4j_attention_options, kv_lengths),
    STRUCT(nf4j_adamw_step),
    FIELD(nf4j_adamw_step, decay),
    FIELD(nf4j_adamw_step, rate),
    FIELD(nf4j_adamw_step, correction),
    STRUCT(nf4j_adamw_options),
    FIELD(nf4j_adamw_options, struct_size),
    FIELD(nf4j_adamw_options, learning_rate),
    FIELD(nf4j_adamw_options, beta1),
    FIELD(nf4j_adamw_options, beta2),
    FIELD(nf4j_adamw_options, eps),
    FIELD(nf4j_adamw_options, weight_decay),
    FIELD(nf4j_adamw_options, step),
    FIELD(nf4j_adamw_options, device_step),
    STRUCT(nf4j_adamw_parameter),
    FIELD(nf4j_adamw_parameter, param),
    FIELD(nf4j_adamw_parameter, grad),
    FIELD(nf4j_adamw_parameter, m),
    FIELD(nf4j_adamw_parameter, v),
    FIELD(nf4j_adamw_parameter, absmax),
    FIELD(nf4j_adamw_parameter, n),
};

#undef STRUCT
#undef FIELD

struct Text {
    char lines[64 * sizeof entries / sizeof entries[0]];

    Text() {
        size_t used = 0;
        for (const Entry &entry : entries) {
            const size_t left = sizeof lines - used;
            const bool is_struct = entry.offset < 0;
            const int length =
                is_struct ? std::snprintf(lines + used, left, "%s %d\n", entry.name, entry.size)
                          : std::snprintf(lines + used, left, "%s %d %d\n", entry.name, entry.offset, entry.size);
            used += static_cast<size_t>(length);
        }
    }
};

}  // namespace

const char *nf4j_abi_layout(void) {
    static const Text text;
    return text.lines;
}
