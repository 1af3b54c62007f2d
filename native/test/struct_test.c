/* Every function without a stream, and every option struct of a caller with an older or a newer header. */
#include "nf4j.h"
#include "test.h"

#include <stddef.h>
#include <stdlib.h>

static nf4j_stream *stream;
static float memory[4096];

static nf4j_tensor matrix(int64_t at, int64_t rows, int64_t cols) {
    const nf4j_tensor x = {memory + at, rows, cols, cols, NF4J_F32, 0};
    return x;
}

#define NO_STREAM(function, ...) CHECK_REFUSED(#function ": stream is null", nf4j_##function(NULL, __VA_ARGS__))

static void test_without_stream(void) {
    char text[8];
    NO_STREAM(explain, NF4J_OP_NORM, 1, 1, 1, NF4J_F32, text, 8);
    NO_STREAM(graph_end, NULL);
    NO_STREAM(memory_copy, NULL, NULL);
    NO_STREAM(memory_fill, 0, NULL);
    NO_STREAM(memory_cast, NULL, NULL);
    NO_STREAM(memory_add, NULL, NULL, NULL);
    NO_STREAM(nf4_quantize, NULL, NULL);
    NO_STREAM(nf4_dequantize, NULL, 0, NULL);
    NO_STREAM(nf4_import, NULL, NULL);
    NO_STREAM(nf4_export, NULL, NULL);
    NO_STREAM(nf4_matmul, NULL, NULL, NULL, NULL);
    NO_STREAM(nf4_matmul_backward, NULL, NULL, NULL);
    NO_STREAM(dense_matmul, NULL, NULL, NULL, NULL, NULL);
    NO_STREAM(lora_forward, NULL, NULL, NULL, NULL, NULL);
    NO_STREAM(lora_project, NULL, NULL, 0, NULL);
    NO_STREAM(lora_apply, NULL, NULL, NULL, NULL, NULL);
    NO_STREAM(lora_backward, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL);
    NO_STREAM(norm_forward, NULL, NULL, 0, NULL, NULL);
    NO_STREAM(norm_backward, NULL, NULL, NULL, NULL, 0, NULL, NULL);
    NO_STREAM(rope_table, NULL, NULL, 1, NULL);
    NO_STREAM(rope_forward, NULL, NULL, NULL);
    NO_STREAM(rope_backward, NULL, NULL, NULL);
    NO_STREAM(attention_forward, NULL, NULL, NULL, NULL, NULL, NULL);
    NO_STREAM(attention_backward, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    NO_STREAM(mlp_swiglu_forward, NULL, NULL, NULL);
    NO_STREAM(mlp_swiglu_backward, NULL, NULL, NULL, NULL, NULL);
    NO_STREAM(embedding_forward, NULL, NULL, NULL);
    NO_STREAM(embedding_backward, NULL, NULL, NULL);
    NO_STREAM(loss_linear_cross_entropy, NULL, NULL, NULL, 1, NULL, NULL);
    NO_STREAM(optim_global_norm, NULL, 0, 1, NULL);
    NO_STREAM(optim_adamw_step, NULL, NULL);
    NO_STREAM(optim_adamw, NULL, NULL, 0, NULL);
}

/* A struct as a later header may have it: with eight more bytes. */
#define GROWN(type)      \
    struct {             \
        type known;      \
        int64_t unknown; \
    }

/* `call` passes &grown.known: zeros that this library does not know are accepted; anything else is not, nor is a struct
 * that is too small. */
#define TEST_SIZES(type, call)                                                            \
    do {                                                                                  \
        grown.known.struct_size = sizeof grown;                                           \
        CHECK_OK(call);                                                                   \
        grown.unknown = 1;                                                                \
        CHECK((call) == NF4J_INVALID_ARGUMENT, #type " with an unknown field");           \
        CHECK(strstr(nf4j_last_error(), "has a field at byte"), "%s", nf4j_last_error()); \
        grown.unknown = 0;                                                                \
        grown.known.struct_size = sizeof(type) - 4;                                       \
        CHECK((call) == NF4J_INVALID_ARGUMENT, #type " that is too small");               \
        CHECK(strstr(nf4j_last_error(), "struct_size is"), "%s", nf4j_last_error());      \
        grown.known.struct_size = 0;                                                      \
        CHECK((call) == NF4J_INVALID_ARGUMENT, #type " without a size");                  \
    } while (0)

static void test_stream_options(nf4j_device *device) {
    GROWN(nf4j_stream_options) grown = {.known = {.workspace_bytes = 4096}};
    nf4j_stream *created = NULL;
    TEST_SIZES(nf4j_stream_options, nf4j_stream_create(device, &grown.known, &created));
    CHECK_OK(nf4j_stream_destroy(created));
}

static void test_weight(nf4j_device *device) {
    const nf4j_tensor w = matrix(0, 2, 64);
    GROWN(nf4j_nf4_weight) grown = {.known = {.rows = 2, .cols = 64, .block_size = 64}};
    CHECK_OK(nf4j_nf4_weight_bytes(device, 2, 64, 64, 0, &grown.known.bytes));
    CHECK_OK(nf4j_memory_alloc(device, grown.known.bytes, &grown.known.data));
    TEST_SIZES(nf4j_nf4_weight, nf4j_nf4_quantize(stream, &w, &grown.known));
    CHECK_OK(nf4j_memory_free(device, grown.known.data));
}

static void test_state(nf4j_device *device) {
    static uint8_t codes[64];
    static float absmax[2], map[16];
    nf4j_nf4_weight weight = {.struct_size = sizeof weight, .rows = 2, .cols = 64, .block_size = 64};
    CHECK_OK(nf4j_nf4_weight_bytes(device, 2, 64, 64, 0, &weight.bytes));
    CHECK_OK(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    GROWN(nf4j_nf4_state)
    grown = {.known = {.rows = 2, .cols = 64, .block_size = 64, .codes = codes, .absmax = absmax, .quant_map = map}};
    TEST_SIZES(nf4j_nf4_state, nf4j_nf4_import(stream, &grown.known, &weight));
    TEST_SIZES(nf4j_nf4_state, nf4j_nf4_export(stream, &weight, &grown.known));
    CHECK_OK(nf4j_memory_free(device, weight.data));
}

static void test_linear_options(void) {
    const nf4j_tensor x = matrix(0, 3, 8), w = matrix(100, 8, 8), y = matrix(200, 3, 8);
    const nf4j_tensor a = matrix(300, 2, 8), b = matrix(400, 8, 2), u = matrix(500, 3, 2), v = matrix(600, 3, 2);
    {
        GROWN(nf4j_matmul_options) grown = {.known = {.transpose_b = 1, .alpha = 1}};
        TEST_SIZES(nf4j_matmul_options, nf4j_dense_matmul(stream, &grown.known, &x, &w, NULL, &y));
    }
    const nf4j_linear base = {.struct_size = sizeof base, .dense = &w};
    const nf4j_lora lora = {.struct_size = sizeof lora, .alpha = 1, .a = &a, .b = &b};
    {
        GROWN(nf4j_linear) grown = {.known = base};
        TEST_SIZES(nf4j_linear, nf4j_lora_forward(stream, &x, &grown.known, &lora, &u, &y));
    }
    {
        GROWN(nf4j_lora) grown = {.known = lora};
        TEST_SIZES(nf4j_lora, nf4j_lora_forward(stream, &x, &base, &grown.known, &u, &y));
        const nf4j_lora *const loras[] = {&lora, &grown.known};
        const nf4j_tensor *const us[] = {&u, &v};
        TEST_SIZES(nf4j_lora, nf4j_lora_project(stream, &x, loras, 2, us));
        TEST_SIZES(nf4j_lora, nf4j_lora_apply(stream, &x, &base, &grown.known, &u, &y));
    }
}

static void test_other_options(void) {
    const nf4j_tensor q = matrix(0, 3, 8), k = matrix(100, 3, 8), v = matrix(200, 3, 8);
    const nf4j_tensor lse = matrix(300, 3, 1), out = matrix(400, 3, 8);
    const int32_t offsets[] = {0, 3};
    {
        GROWN(nf4j_attention_options)
        grown = {.known = {.heads = 1, .kv_heads = 1, .head_dim = 8, .scale = 1, .sequences = 1, .q_offsets = offsets}};
        TEST_SIZES(nf4j_attention_options, nf4j_attention_forward(stream, &grown.known, &q, &k, &v, &lse, &out));
    }
    GROWN(nf4j_adamw_options)
    grown = {.known = {.learning_rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .step = 1}};
    TEST_SIZES(nf4j_adamw_options, nf4j_optim_adamw(stream, &grown.known, NULL, 0, NULL));
}

/* Callers whose header lacks the last fields: what lies behind their structs is not read. */
static void test_older_callers(void) {
    const nf4j_tensor x = matrix(0, 3, 8), w = matrix(100, 8, 8), y = matrix(200, 3, 8), u = matrix(500, 3, 2);
    const nf4j_tensor a = matrix(300, 2, 8), b = matrix(400, 8, 2);
    const void *garbage = (const void *)1; /* misaligned: refused where it is looked at */
    const nf4j_linear base = {.struct_size = sizeof base, .dense = &w};
    nf4j_lora lora = {
        .struct_size = offsetof(nf4j_lora, device_seed), .alpha = 1, .a = &a, .b = &b, .device_seed = garbage};
    const nf4j_lora *const loras[] = {&lora};
    const nf4j_tensor *const us[] = {&u};
    CHECK_OK(nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    CHECK_OK(nf4j_lora_project(stream, &x, loras, 1, us));
    CHECK_OK(nf4j_lora_apply(stream, &x, &base, &lora, &u, &y));
    lora.struct_size = sizeof lora;
    CHECK_REFUSED("lora_forward: lora.device_seed is at 0x1, expected an address that is a multiple of 8",
                  nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    CHECK_REFUSED("lora_project: loras[0].device_seed is at 0x1, expected an address that is a multiple of 8",
                  nf4j_lora_project(stream, &x, loras, 1, us));
    CHECK_OK(nf4j_lora_apply(stream, &x, &base, &lora, &u, &y)); /* which draws no mask */
    nf4j_adamw_options adamw = {
        .struct_size = offsetof(nf4j_adamw_options, device_step), .step = 1, .device_step = garbage};
    CHECK_OK(nf4j_optim_adamw(stream, &adamw, NULL, 0, NULL));
    adamw.struct_size = sizeof adamw;
    CHECK_REFUSED("optim_adamw: options.device_step is at 0x1, expected an address that is a multiple of 8",
                  nf4j_optim_adamw(stream, &adamw, NULL, 0, NULL));
}

int main(void) {
    nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_REFERENCE};
    nf4j_device *device = NULL;
    CHECK_OK(nf4j_device_open(&options, &device));
    CHECK_OK(nf4j_stream_create(device, NULL, &stream));
    test_without_stream();
    test_stream_options(device);
    test_weight(device);
    test_state(device);
    test_linear_options();
    test_other_options();
    test_older_callers();
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    return test_result("struct_test");
}
