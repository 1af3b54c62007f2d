/* Every field of every struct, every number, every array and every object that is no tensor, wrong in each way. */
#include "nf4j.h"
#include "test.h"

#include <math.h>
#include <stdint.h>

static nf4j_device *device;
static nf4j_stream *stream;
static float memory[4096];

static nf4j_tensor matrix(int64_t at, int64_t rows, int64_t cols) {
    const nf4j_tensor x = {memory + at, rows, cols, cols, NF4J_F32, 0};
    return x;
}

/* The call is refused with this text while a field has this value. */
#define WRONG(object, field, value, text, call)    \
    do {                                           \
        unsigned char right_[sizeof(object)];      \
        memcpy(right_, &(object), sizeof(object)); \
        (object).field = (value);                  \
        CHECK_REFUSED(text, call);                 \
        memcpy(&(object), right_, sizeof(object)); \
    } while (0)

#define MISALIGNED(pointer) ((void *)((char *)(pointer) + 1))

/* The same with an address one byte behind the right one, which the text ends with. */
#define WRONG_PLACE(object, field, name, alignment, call)                                                \
    do {                                                                                                 \
        char text_[160];                                                                                 \
        snprintf(text_, sizeof text_, "%s is at %p, expected an address that is a multiple of %d", name, \
                 MISALIGNED((object).field), alignment);                                                 \
        WRONG(object, field, MISALIGNED((object).field), text_, call);                                   \
    } while (0)

static void test_objects(void) {
    nf4j_device_info info = {.struct_size = sizeof info};
    CHECK_REFUSED("device_get_info: device is null", nf4j_device_get_info(NULL, &info));
    CHECK_REFUSED("device_get_info: info is null", nf4j_device_get_info(device, NULL));
    nf4j_stream_options options = {.struct_size = sizeof options};
    nf4j_stream *created = NULL;
    CHECK_REFUSED("stream_create: device is null", nf4j_stream_create(NULL, NULL, &created));
    CHECK_REFUSED("stream_create: stream is null", nf4j_stream_create(device, NULL, NULL));
    WRONG(options, reserved, 1, "stream_create: options.reserved is 1, expected 0",
          nf4j_stream_create(device, &options, &created));
    WRONG(options, workspace_bytes, INT64_MIN,
          "stream_create: options.workspace_bytes is -9223372036854775808, expected at least 0",
          nf4j_stream_create(device, &options, &created));
    WRONG(options, native_stream, &options,
          "stream_create: options.native_stream is given, expected null on the reference backend",
          nf4j_stream_create(device, &options, &created));
    CHECK(created == NULL, "a refused call made a stream");
    CHECK_REFUSED("stream_synchronize: stream is null", nf4j_stream_synchronize(NULL));
    nf4j_device_options device_options = {.struct_size = sizeof device_options, .backend = NF4J_BACKEND_REFERENCE};
    nf4j_device *opened = NULL;
    WRONG(device_options, ordinal, -1, "device_open: options.ordinal is -1, expected at least 0",
          nf4j_device_open(&device_options, &opened));
    WRONG(device_options, backend, -1, "device_open: options.backend is -1, expected one of nf4j_backend (0 ... 4)",
          nf4j_device_open(&device_options, &opened));
    WRONG(device_options, isa, 7, "device_open: options.isa is 7, expected one of nf4j_isa (0 ... 6)",
          nf4j_device_open(&device_options, &opened));
    CHECK(opened == NULL, "a refused call opened a device");
}

static void test_memory(void) {
    void *data = memory;
    CHECK_REFUSED("memory_alloc: device is null", nf4j_memory_alloc(NULL, 64, &data));
    CHECK_REFUSED("memory_alloc: bytes is -1, expected at least 0", nf4j_memory_alloc(device, -1, &data));
    CHECK_REFUSED("memory_alloc: data is null", nf4j_memory_alloc(device, 64, NULL));
    CHECK_REFUSED("memory_alloc_paged: device is null", nf4j_memory_alloc_paged(NULL, 64, &data));
    CHECK_REFUSED("memory_alloc_paged: bytes is -1, expected at least 0", nf4j_memory_alloc_paged(device, -1, &data));
    CHECK_REFUSED("memory_alloc_paged: data is null", nf4j_memory_alloc_paged(device, 64, NULL));
    CHECK(data == memory, "a refused call set data");
    CHECK(nf4j_memory_alloc_paged(device, INT64_MAX - 4096, &data) == NF4J_OUT_OF_MEMORY, "9 EB were allocated");
    CHECK(data == NULL, "a failed allocation gave %p", data);
    CHECK_REFUSED("memory_prefetch: stream is null", nf4j_memory_prefetch(NULL, memory, 64));
    CHECK_REFUSED("memory_prefetch: bytes is -1, expected at least 0", nf4j_memory_prefetch(stream, memory, -1));
    CHECK_REFUSED("memory_prefetch: data is null", nf4j_memory_prefetch(stream, NULL, 64));
    CHECK_OK(nf4j_memory_prefetch(stream, NULL, 0));
    CHECK_REFUSED("memory_free: device is null", nf4j_memory_free(NULL, memory));
    nf4j_tensor integers = {memory, 1, 4, 4, NF4J_U8, 0};
    CHECK_REFUSED("memory_fill: value is 256, which is no U8", nf4j_memory_fill(stream, 256, &integers));
    CHECK_REFUSED("memory_fill: value is -1, which is no U8", nf4j_memory_fill(stream, -1, &integers));
    integers.dtype = NF4J_I64;
    integers.cols = integers.ld = 1;
    CHECK_REFUSED("memory_fill: value is 1e+19, which is no I64", nf4j_memory_fill(stream, 1e19, &integers));
}

static void test_weights(int32_t double_quant) {
    static uint8_t codes[64], absmax8[2];
    static float absmax[2], quant_map[16], nested_absmax[1], nested_map[256];
    nf4j_nf4_weight weight = {
        .struct_size = sizeof weight, .rows = 2, .cols = 64, .block_size = 64, .double_quant = double_quant};
    nf4j_nf4_state state = {.struct_size = sizeof state,
                            .rows = 2,
                            .cols = 64,
                            .block_size = 64,
                            .codes = codes,
                            .absmax = absmax,
                            .absmax8 = absmax8,
                            .quant_map = quant_map,
                            .nested_absmax = nested_absmax,
                            .nested_map = nested_map};
    CHECK_REFUSED("nf4_weight_bytes: device is null", nf4j_nf4_weight_bytes(NULL, 2, 64, 64, 0, &weight.bytes));
    CHECK_REFUSED("nf4_weight_bytes: bytes is null", nf4j_nf4_weight_bytes(device, 2, 64, 64, 0, NULL));
    CHECK_OK(nf4j_nf4_weight_bytes(device, 2, 64, 64, double_quant, &weight.bytes));
    CHECK_OK(nf4j_memory_alloc(device, weight.bytes + 64, &weight.data));
    memset(weight.data, 0, (size_t)weight.bytes);

    const nf4j_tensor x = matrix(0, 3, 64), y = matrix(1000, 3, 2);
    CHECK_REFUSED("nf4_matmul: weight is null", nf4j_nf4_matmul(stream, &x, NULL, NULL, &y));
    const char *sizes = "nf4_matmul: weight is [-2, 64], expected positive sizes whose product fits into memory";
    WRONG(weight, rows, -2, sizes, nf4j_nf4_matmul(stream, &x, &weight, NULL, &y));
    WRONG(weight, cols, INT64_MAX,
          "nf4_matmul: weight is [2, 9223372036854775807], expected positive sizes whose product fits into memory",
          nf4j_nf4_matmul(stream, &x, &weight, NULL, &y));
    WRONG(weight, block_size, 16, "nf4_matmul: block_size is 16, expected 32, 64, 128, 256, 512, 1024, 2048 or 4096",
          nf4j_nf4_matmul(stream, &x, &weight, NULL, &y));
    WRONG(weight, double_quant, -1, "nf4_matmul: double_quant is -1, expected 0 or 1",
          nf4j_nf4_matmul(stream, &x, &weight, NULL, &y));
    WRONG_PLACE(weight, data, "nf4_matmul: weight", 64, nf4j_nf4_matmul(stream, &x, &weight, NULL, &y));

    CHECK_OK(nf4j_nf4_import(stream, &state, &weight));
    CHECK_OK(nf4j_nf4_export(stream, &weight, &state));
    CHECK_REFUSED("nf4_import: state is null", nf4j_nf4_import(stream, NULL, &weight));
    CHECK_REFUSED("nf4_export: state is null", nf4j_nf4_export(stream, &weight, NULL));
    CHECK_REFUSED("nf4_import: weight is null", nf4j_nf4_import(stream, &state, NULL));
    CHECK_REFUSED("nf4_export: weight is null", nf4j_nf4_export(stream, NULL, &state));
    WRONG(state, rows, 3, "nf4_import: state has 3 rows, weight has 2 (state and weight are the same matrix)",
          nf4j_nf4_import(stream, &state, &weight));
    WRONG(state, cols, -64, "nf4_import: state has -64 columns, weight has 64 (state and weight are the same matrix)",
          nf4j_nf4_import(stream, &state, &weight));
    WRONG(state, codes, NULL, "nf4_import: state.codes is null", nf4j_nf4_import(stream, &state, &weight));
    WRONG(state, quant_map, NULL, "nf4_export: state.quant_map is null", nf4j_nf4_export(stream, &weight, &state));
    WRONG_PLACE(state, quant_map, "nf4_import: state.quant_map", 4, nf4j_nf4_import(stream, &state, &weight));
    if (double_quant) {
        WRONG(state, absmax8, NULL, "nf4_import: state.absmax8 is null", nf4j_nf4_import(stream, &state, &weight));
        WRONG(state, nested_absmax, NULL, "nf4_import: state.nested_absmax is null",
              nf4j_nf4_import(stream, &state, &weight));
        WRONG(state, nested_map, NULL, "nf4_import: state.nested_map is null",
              nf4j_nf4_import(stream, &state, &weight));
        WRONG_PLACE(state, nested_absmax, "nf4_export: state.nested_absmax", 4,
                    nf4j_nf4_export(stream, &weight, &state));
        WRONG_PLACE(state, nested_map, "nf4_export: state.nested_map", 4, nf4j_nf4_export(stream, &weight, &state));
    } else {
        WRONG(state, absmax, NULL, "nf4_export: state.absmax is null", nf4j_nf4_export(stream, &weight, &state));
        WRONG_PLACE(state, absmax, "nf4_export: state.absmax", 4, nf4j_nf4_export(stream, &weight, &state));
    }
    CHECK_OK(nf4j_memory_free(device, weight.data));
}

static void test_layers(void) {
    const nf4j_tensor x = matrix(0, 3, 8), w = matrix(100, 8, 8), y = matrix(200, 3, 8), u = matrix(300, 3, 2);
    const nf4j_tensor a = matrix(400, 2, 8), b = matrix(500, 8, 2), rstd = matrix(600, 1, 3), row = matrix(700, 1, 8);
    const nf4j_tensor inv_freq = matrix(800, 1, 4), loss = matrix(900, 1, 3),
                      labels = {memory + 1000, 1, 3, 3, NF4J_I32, 0};

    nf4j_matmul_options options = {.struct_size = sizeof options, .transpose_b = 1, .alpha = 1};
    CHECK_REFUSED("dense_matmul: options is null", nf4j_dense_matmul(stream, NULL, &x, &w, NULL, &y));
    WRONG(options, transpose_a, 2, "dense_matmul: options.transpose_a is 2, expected 0 or 1",
          nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));
    WRONG(options, transpose_b, -1, "dense_matmul: options.transpose_b is -1, expected 0 or 1",
          nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));
    WRONG(options, alpha, NAN, "dense_matmul: options.alpha is nan, expected a finite number",
          nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));
    WRONG(options, reserved, 1, "dense_matmul: options.reserved is 1, expected 0",
          nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));

    nf4j_linear base = {.struct_size = sizeof base, .dense = &w};
    nf4j_lora lora = {.struct_size = sizeof lora, .alpha = 1, .a = &a, .b = &b};
    CHECK_REFUSED("lora_forward: base is null", nf4j_lora_forward(stream, &x, NULL, &lora, &u, &y));
    CHECK_REFUSED("lora_forward: lora is null", nf4j_lora_forward(stream, &x, &base, NULL, &u, &y));
    WRONG(base, reserved, 1, "lora_forward: base.reserved is 1, expected 0",
          nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    WRONG(lora, rank_stabilized, 2, "lora_forward: lora.rank_stabilized is 2, expected 0 or 1",
          nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    WRONG(lora, alpha, INFINITY, "lora_forward: lora.alpha is inf, expected a finite number",
          nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    WRONG(lora, dropout, -0.5f, "lora_forward: lora.dropout is -0.5, expected 0 <= dropout < 1",
          nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    static const uint64_t seed = 1;
    nf4j_lora other = lora;
    const nf4j_tensor other_u = matrix(1200, 3, 2);
    const nf4j_lora *loras[] = {&lora, &other};
    const nf4j_tensor *us[] = {&u, &other_u};
#define PROJECT nf4j_lora_project(stream, &x, loras, 2, us)
    CHECK_OK(PROJECT);
    CHECK_REFUSED("lora_project: loras is null", nf4j_lora_project(stream, &x, NULL, 2, us));
    CHECK_REFUSED("lora_project: us is null", nf4j_lora_project(stream, &x, loras, 2, NULL));
    CHECK_REFUSED("lora_project: count is 0, expected at least 1", nf4j_lora_project(stream, &x, loras, 0, us));
    CHECK_REFUSED("lora_project: count is -1, expected at least 1", nf4j_lora_project(stream, &x, loras, -1, us));
    WRONG(other, struct_size, 0, "lora_project: loras[1].struct_size is 0, expected 48 (set it to sizeof(*loras[1]))",
          PROJECT);
    WRONG(other, dropout, 1, "lora_project: loras[1].dropout is 1, expected 0 <= dropout < 1", PROJECT);
    WRONG(other, dropout, NAN, "lora_project: loras[1].dropout is nan, expected 0 <= dropout < 1", PROJECT);
    other.device_seed = &seed;
    CHECK_OK(PROJECT);
    WRONG_PLACE(other, device_seed, "lora_project: loras[1].device_seed", 8, PROJECT);
    loras[1] = NULL;
    CHECK_REFUSED("lora_project: loras[1] is null", PROJECT);
#undef PROJECT
#define APPLY nf4j_lora_apply(stream, &x, &base, &lora, &u, &y)
    CHECK_OK(APPLY);
    CHECK_REFUSED("lora_apply: base is null", nf4j_lora_apply(stream, &x, NULL, &lora, &u, &y));
    CHECK_REFUSED("lora_apply: lora is null", nf4j_lora_apply(stream, &x, &base, NULL, &u, &y));
    WRONG(base, reserved, 1, "lora_apply: base.reserved is 1, expected 0", APPLY);
    WRONG(lora, rank_stabilized, -1, "lora_apply: lora.rank_stabilized is -1, expected 0 or 1", APPLY);
    WRONG(lora, alpha, NAN, "lora_apply: lora.alpha is nan, expected a finite number", APPLY);
#undef APPLY
    const nf4j_tensor da = matrix(1300, 2, 8), db = matrix(1400, 8, 2);
    lora.device_seed = &seed;
    CHECK_OK(nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    WRONG_PLACE(lora, device_seed, "lora_forward: lora.device_seed", 8,
                nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    WRONG_PLACE(lora, device_seed, "lora_backward: lora.device_seed", 8,
                nf4j_lora_backward(stream, &x, &y, &u, &base, &lora, 0, &da, &db, NULL));
    CHECK_REFUSED("loss_linear_cross_entropy: head is null",
                  nf4j_loss_linear_cross_entropy(stream, &x, NULL, &labels, 1, &loss, NULL));
    CHECK_REFUSED("loss_linear_cross_entropy: grad_scale is nan, expected a finite number",
                  nf4j_loss_linear_cross_entropy(stream, &x, &base, &labels, NAN, &loss, NULL));

    CHECK_REFUSED("norm_forward: eps is nan, expected a finite number >= 0",
                  nf4j_norm_forward(stream, &x, &row, NAN, &rstd, &y));
    CHECK_REFUSED("norm_backward: accumulate_dx is -1, expected 0 or 1",
                  nf4j_norm_backward(stream, &y, &x, &row, &rstd, -1, NULL, &y));
    const nf4j_tensor table = matrix(1100, 3, 8);
    CHECK_REFUSED("rope_table: scale is inf, expected a finite number",
                  nf4j_rope_table(stream, &labels, &inv_freq, INFINITY, &table));
}

static void test_attention(void) {
    const nf4j_tensor q = matrix(0, 3, 8), k = matrix(100, 3, 4), v = matrix(200, 3, 4), lse = matrix(300, 3, 2);
    const nf4j_tensor out = matrix(400, 3, 8);
    static const int32_t offsets[] = {0, 3}, first[] = {0}, lengths[] = {3};
    nf4j_attention_options options = {.struct_size = sizeof options,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .head_dim = 4,
                                      .scale = 1,
                                      .sequences = 1,
                                      .q_offsets = offsets,
                                      .kv_offsets = first,
                                      .kv_lengths = lengths};
#define ATTENTION nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out)
    CHECK_OK(ATTENTION);
    CHECK_REFUSED("attention_forward: options is null", nf4j_attention_forward(stream, NULL, &q, &k, &v, &lse, &out));
    WRONG(options, heads, 0, "attention_forward: options.heads is 0, expected at least 1", ATTENTION);
    WRONG(options, kv_heads, 0, "attention_forward: options.kv_heads is 0, expected at least 1", ATTENTION);
    WRONG(options, head_dim, -4, "attention_forward: options.head_dim is -4, expected at least 1", ATTENTION);
    WRONG(options, head_dim, INT32_MAX,
          "attention_forward: q has 8 columns, heads * head_dim has 4294967294 (q and out are [m, heads * head_dim], k "
          "and v [mk, kv_heads * head_dim], lse [m, heads]; gradients as what they belong to)",
          ATTENTION);
    WRONG(options, scale, NAN, "attention_forward: options.scale is nan, expected a finite number", ATTENTION);
    WRONG(options, window, INT32_MIN, "attention_forward: options.window is -2147483648, expected at least 0",
          ATTENTION);
    WRONG(options, sequences, -1, "attention_forward: options.sequences is -1, expected at least 0", ATTENTION);
    WRONG(options, q_offsets, NULL, "attention_forward: options.q_offsets is null", ATTENTION);
    WRONG_PLACE(options, q_offsets, "attention_forward: options.q_offsets", 4, ATTENTION);
    WRONG_PLACE(options, kv_offsets, "attention_forward: options.kv_offsets", 4, ATTENTION);
    WRONG_PLACE(options, kv_lengths, "attention_forward: options.kv_lengths", 4, ATTENTION);
#undef ATTENTION
}

static void test_optim(void) {
    nf4j_adamw_options options = {
        .struct_size = sizeof options, .learning_rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .step = 1};
    nf4j_adamw_parameter p = {memory, memory + 100, memory + 200, memory + 300, NULL, 50};
    nf4j_adamw_parameter bytes = {memory, memory + 100, memory + 200, memory + 300, memory + 400, 50}; /* 8-bit state */
    const nf4j_tensor norm = matrix(500, 1, 2);
#define ADAMW(parameter) nf4j_optim_adamw(stream, &options, &(parameter), 1, NULL)
    CHECK_OK(ADAMW(p));
    CHECK_REFUSED("optim_adamw: options is null", nf4j_optim_adamw(stream, NULL, &p, 1, NULL));
    CHECK_REFUSED("optim_adamw: parameters is null", nf4j_optim_adamw(stream, &options, NULL, 1, NULL));
    WRONG(options, learning_rate, -1, "optim_adamw: options.learning_rate is -1, expected a finite number >= 0",
          ADAMW(p));
    WRONG(options, beta1, -0.5f, "optim_adamw: options.beta1 is -0.5, expected 0 <= options.beta1 < 1", ADAMW(p));
    WRONG(options, beta2, NAN, "optim_adamw: options.beta2 is nan, expected 0 <= options.beta2 < 1", ADAMW(p));
    WRONG(options, eps, -1, "optim_adamw: options.eps is -1, expected a finite number >= 0", ADAMW(p));
    WRONG(options, weight_decay, INFINITY, "optim_adamw: options.weight_decay is inf, expected a finite number >= 0",
          ADAMW(p));
    WRONG(options, step, INT64_MIN, "optim_adamw: options.step is -9223372036854775808, expected at least 1", ADAMW(p));
    WRONG(p, param, NULL, "optim_adamw: parameters[0].param is null", ADAMW(p));
    WRONG(p, grad, NULL, "optim_adamw: parameters[0].grad is null", ADAMW(p));
    WRONG(p, v, NULL, "optim_adamw: parameters[0].v is null", ADAMW(p));
    WRONG(p, n, INT64_MAX, "optim_adamw: parameters[0].n is 9223372036854775807, expected a size in memory", ADAMW(p));
    WRONG_PLACE(p, param, "optim_adamw: parameters[0].param", 4, ADAMW(p));
    WRONG_PLACE(p, grad, "optim_adamw: parameters[0].grad", 4, ADAMW(p));
    WRONG_PLACE(p, m, "optim_adamw: parameters[0].m", 4, ADAMW(p));
    WRONG_PLACE(p, v, "optim_adamw: parameters[0].v", 4, ADAMW(p));
    WRONG_PLACE(bytes, absmax, "optim_adamw: parameters[0].absmax", 4, ADAMW(bytes));
    nf4j_adamw_step step;
    CHECK_OK(nf4j_optim_adamw_step(stream, &options, &step));
    options.device_step = &step;
    CHECK_OK(ADAMW(p));
    WRONG_PLACE(options, device_step, "optim_adamw: options.device_step", 8, ADAMW(p));
#undef ADAMW
    CHECK_REFUSED("optim_adamw: count is -1, expected at least 0", nf4j_optim_adamw(stream, &options, &p, -1, NULL));
    char text[160];
    snprintf(text, sizeof text, "optim_adamw: grad_scale is at %p, expected an address that is a multiple of 4",
             MISALIGNED(memory));
    CHECK_REFUSED(text, nf4j_optim_adamw(stream, &options, &p, 1, MISALIGNED(memory)));
    snprintf(text, sizeof text, "optim_adamw_step: step is at %p, expected an address that is a multiple of 8",
             MISALIGNED(&step));
    CHECK_REFUSED(text, nf4j_optim_adamw_step(stream, &options, MISALIGNED(&step)));
    CHECK_REFUSED("optim_global_norm: parameters is null", nf4j_optim_global_norm(stream, NULL, 1, 1, &norm));
    CHECK_REFUSED("optim_global_norm: max_norm is nan, expected a finite number",
                  nf4j_optim_global_norm(stream, &p, 1, NAN, &norm));
}

int main(void) {
    const nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_REFERENCE};
    CHECK_OK(nf4j_device_open(&options, &device));
    CHECK_OK(nf4j_stream_create(device, NULL, &stream));
    test_objects();
    test_memory();
    test_weights(0);
    test_weights(1);
    test_layers();
    test_attention();
    test_optim();
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    return test_result("field_argument_test");
}
