/* nf4j from C: quantizes a weight to NF4 and multiplies with it. */
#include "nf4j.h"

#include <stdio.h>
#include <stdlib.h>

static void check(int32_t status) {
    if (status != NF4J_OK) {
        fprintf(stderr, "%s\n", nf4j_last_error());
        exit(1);
    }
}

int main(void) {
    enum { IN = 128, OUT = 4 };
    static float w[OUT * IN], x[IN], y[OUT];
    for (int i = 0; i < OUT * IN; i++) w[i] = (float)(i % 7 - 3) / 8;
    for (int i = 0; i < IN; i++) x[i] = (float)(i % 5 - 2);

    nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_AUTO};
    nf4j_device *device;
    nf4j_stream *stream;
    check(nf4j_device_open(&options, &device));
    check(nf4j_stream_create(device, NULL, &stream));

    nf4j_nf4_weight weight = {.struct_size = sizeof weight, .rows = OUT, .cols = IN, .block_size = 64};
    check(nf4j_nf4_weight_bytes(device, OUT, IN, 64, weight.double_quant, &weight.bytes));
    check(nf4j_memory_alloc(device, weight.bytes, &weight.data));

    nf4j_tensor tw = {w, OUT, IN, IN, NF4J_F32, 0}, tx = {x, 1, IN, IN, NF4J_F32, 0};
    nf4j_tensor ty = {y, 1, OUT, OUT, NF4J_F32, 0};
    check(nf4j_nf4_quantize(stream, &tw, &weight));
    check(nf4j_nf4_matmul(stream, &tx, &weight, NULL, &ty)); /* y = x * W^T */
    check(nf4j_stream_synchronize(stream));
    for (int i = 0; i < OUT; i++) printf("%g\n", (double)y[i]);

    check(nf4j_memory_free(device, weight.data));
    check(nf4j_stream_destroy(stream));
    check(nf4j_device_close(device));
    return 0;
}
