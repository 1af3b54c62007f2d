#include "cpu/device.h"
#include "cpu/isa/kernels.h"

namespace nf4j::cpu::NF4J_ISA_NAME {

const Backend *table() {
    static const Backend backend = [] {
        Backend b = {};
        b.id = NF4J_BACKEND_CPU;
        b.name = "cpu";
        b.open = open;
        b.close = close;
        b.refresh_info = refresh_info;
        b.probe = probe;
        b.stream_create = stream_create;
        b.stream_destroy = stream_destroy;
        b.stream_synchronize = stream_synchronize;
        b.alloc = alloc;
        b.free = cpu::free;
        b.nf4_weight_bytes = nf4_weight_bytes;
        b.nf4_quantize = nf4_quantize;
        b.nf4_dequantize = nf4_dequantize;
        b.nf4_import = nf4_import;
        b.nf4_export = nf4_export;
        b.nf4_matmul = nf4_matmul;
        b.nf4_matmul_backward = nf4_matmul_backward;
        b.dense_matmul = dense_matmul;
        b.lora_forward = lora_forward;
        b.lora_backward = lora_backward;
        b.loss_linear_cross_entropy = loss_linear_cross_entropy;
        return b;
    }();
    return &backend;
}

}  // namespace nf4j::cpu::NF4J_ISA_NAME
