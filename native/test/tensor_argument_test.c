/* Every tensor of every operation, wrong in every way that a tensor can be: the text names the function and the tensor, and nothing
 * is written. argument_test has what tensors must be to each other. */
#include "nf4j.h"
#include "test.h"

#include <stdint.h>

enum { most_tensors = 9 };

typedef const nf4j_tensor *const *tensors;

static nf4j_device *device;
static nf4j_stream *stream;
static nf4j_nf4_weight weight = {.struct_size = sizeof weight, .rows = 4, .cols = 64, .block_size = 64};
static const int32_t sequence[] = {0, 3};

/* What an operation takes besides tensors. */
static nf4j_linear layer(const nf4j_tensor *dense, const nf4j_tensor *bias) {
    const nf4j_linear linear = {.struct_size = sizeof linear, .dense = dense, .bias = bias};
    return linear;
}

static nf4j_lora adapter(const nf4j_tensor *a, const nf4j_tensor *b) {
    const nf4j_lora lora = {.struct_size = sizeof lora, .alpha = 1, .a = a, .b = b};
    return lora;
}

static const nf4j_matmul_options matmul = {.struct_size = sizeof matmul, .transpose_b = 1, .alpha = 1};
static const nf4j_attention_options attention = {.struct_size = sizeof attention,
                                                 .heads = 2,
                                                 .kv_heads = 1,
                                                 .head_dim = 4,
                                                 .scale = 1,
                                                 .sequences = 1,
                                                 .q_offsets = sequence};

static int32_t memory_copy(tensors t) { return nf4j_memory_copy(stream, t[0], t[1]); }
static int32_t memory_fill(tensors t) { return nf4j_memory_fill(stream, 1, t[0]); }
static int32_t memory_cast(tensors t) { return nf4j_memory_cast(stream, t[0], t[1]); }
static int32_t memory_add(tensors t) { return nf4j_memory_add(stream, t[0], t[1], t[2]); }
static int32_t nf4_quantize(tensors t) { return nf4j_nf4_quantize(stream, t[0], &weight); }
static int32_t nf4_dequantize(tensors t) { return nf4j_nf4_dequantize(stream, &weight, 0, t[0]); }
static int32_t nf4_matmul(tensors t) { return nf4j_nf4_matmul(stream, t[0], &weight, t[1], t[2]); }
static int32_t nf4_matmul_backward(tensors t) { return nf4j_nf4_matmul_backward(stream, t[0], &weight, t[1]); }
static int32_t dense_matmul(tensors t) { return nf4j_dense_matmul(stream, &matmul, t[0], t[1], t[2], t[3]); }
static int32_t lora_forward(tensors t) {
    const nf4j_linear base = layer(t[1], t[2]);
    const nf4j_lora lora = adapter(t[3], t[4]);
    return nf4j_lora_forward(stream, t[0], &base, &lora, t[5], t[6]);
}
static int32_t lora_project(tensors t) {
    const nf4j_lora first = adapter(t[1], NULL), second = adapter(t[2], NULL);
    const nf4j_lora *const loras[] = {&first, &second};
    return nf4j_lora_project(stream, t[0], loras, 2, t + 3);
}
static int32_t lora_apply(tensors t) {
    const nf4j_linear base = layer(t[1], t[2]);
    const nf4j_lora lora = adapter(NULL, t[3]);
    return nf4j_lora_apply(stream, t[0], &base, &lora, t[4], t[5]);
}
static int32_t lora_backward(tensors t) {
    const nf4j_linear base = layer(t[3], NULL);
    const nf4j_lora lora = adapter(t[4], t[5]);
    return nf4j_lora_backward(stream, t[0], t[1], t[2], &base, &lora, 0, t[6], t[7], t[8]);
}
static int32_t norm_forward(tensors t) { return nf4j_norm_forward(stream, t[0], t[1], 1e-5f, t[2], t[3]); }
static int32_t norm_backward(tensors t) { return nf4j_norm_backward(stream, t[0], t[1], t[2], t[3], 0, t[4], t[5]); }
static int32_t rope_table(tensors t) { return nf4j_rope_table(stream, t[0], t[1], 1, t[2]); }
static int32_t rope_forward(tensors t) { return nf4j_rope_forward(stream, t[0], t[1], t[2]); }
static int32_t rope_backward(tensors t) { return nf4j_rope_backward(stream, t[0], t[1], t[2]); }
static int32_t attention_forward(tensors t) {
    return nf4j_attention_forward(stream, &attention, t[0], t[1], t[2], t[3], t[4]);
}
static int32_t attention_backward(tensors t) {
    return nf4j_attention_backward(stream, &attention, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]);
}
static int32_t mlp_swiglu_forward(tensors t) { return nf4j_mlp_swiglu_forward(stream, t[0], t[1], t[2]); }
static int32_t mlp_swiglu_backward(tensors t) { return nf4j_mlp_swiglu_backward(stream, t[0], t[1], t[2], t[3], t[4]); }
static int32_t embedding_forward(tensors t) { return nf4j_embedding_forward(stream, t[0], t[1], t[2]); }
static int32_t embedding_backward(tensors t) { return nf4j_embedding_backward(stream, t[0], t[1], t[2]); }
static int32_t loss_linear_cross_entropy(tensors t) {
    const nf4j_linear head = layer(t[1], t[2]);
    return nf4j_loss_linear_cross_entropy(stream, t[0], &head, t[3], 1, t[4], t[5]);
}
static int32_t optim_global_norm(tensors t) { return nf4j_optim_global_norm(stream, NULL, 0, 1, t[0]); }

struct tensor {
    const char *name; /* as texts call it */
    int64_t rows, cols;
    int32_t dtype;
    int optional;
};

#define OPERATION(function) #function, function
#define F32(name, rows, cols) {name, rows, cols, NF4J_F32, 0}
#define I32(name, rows, cols) {name, rows, cols, NF4J_I32, 0}
#define OPTIONAL(name, rows, cols) {name, rows, cols, NF4J_F32, 1}

static const struct {
    const char *name;
    int32_t (*call)(tensors);
    struct tensor tensors[most_tensors];
} operations[] = {
    {OPERATION(memory_copy), {F32("src", 3, 8), F32("dst", 3, 8)}},
    {OPERATION(memory_fill), {F32("dst", 3, 8)}},
    {OPERATION(memory_cast), {F32("src", 3, 8), F32("dst", 3, 8)}},
    {OPERATION(memory_add), {F32("a", 3, 8), F32("b", 3, 8), F32("y", 3, 8)}},
    {OPERATION(nf4_quantize), {F32("w", 4, 64)}},
    {OPERATION(nf4_dequantize), {F32("out", 2, 64)}},
    {OPERATION(nf4_matmul), {F32("x", 3, 64), OPTIONAL("bias", 1, 4), F32("y", 3, 4)}},
    {OPERATION(nf4_matmul_backward), {F32("dy", 3, 4), F32("dx", 3, 64)}},
    {OPERATION(dense_matmul), {F32("a", 3, 8), F32("b", 5, 8), OPTIONAL("bias", 1, 5), F32("c", 3, 5)}},
    {OPERATION(lora_forward),
     {F32("x", 3, 8), F32("base.dense", 5, 8), OPTIONAL("base.bias", 1, 5), F32("lora.a", 2, 8), F32("lora.b", 5, 2),
      F32("u", 3, 2), F32("y", 3, 5)}},
    {OPERATION(lora_project),
     {F32("x", 3, 8), F32("loras[0].a", 2, 8), F32("loras[1].a", 1, 8), F32("us[0]", 3, 2), F32("us[1]", 3, 1)}},
    {OPERATION(lora_apply),
     {F32("x", 3, 8), F32("base.dense", 5, 8), OPTIONAL("base.bias", 1, 5), F32("lora.b", 5, 2), F32("u", 3, 2),
      F32("y", 3, 5)}},
    {OPERATION(lora_backward),
     {F32("x", 3, 8), F32("dy", 3, 5), F32("u", 3, 2), F32("base.dense", 5, 8), F32("lora.a", 2, 8),
      F32("lora.b", 5, 2), F32("da", 2, 8), F32("db", 5, 2), OPTIONAL("dx", 3, 8)}},
    {OPERATION(norm_forward), {F32("x", 3, 8), F32("weight", 1, 8), F32("rstd", 1, 3), F32("y", 3, 8)}},
    {OPERATION(norm_backward),
     {F32("dy", 3, 8), F32("x", 3, 8), F32("weight", 1, 8), F32("rstd", 1, 3), OPTIONAL("dweight", 1, 8),
      F32("dx", 3, 8)}},
    {OPERATION(rope_table), {I32("positions", 1, 3), F32("inv_freq", 1, 2), F32("table", 3, 4)}},
    {OPERATION(rope_forward), {F32("x", 3, 8), F32("table", 3, 4), F32("y", 3, 8)}},
    {OPERATION(rope_backward), {F32("dy", 3, 8), F32("table", 3, 4), F32("dx", 3, 8)}},
    {OPERATION(attention_forward),
     {F32("q", 3, 8), F32("k", 3, 4), F32("v", 3, 4), F32("lse", 3, 2), F32("out", 3, 8)}},
    {OPERATION(attention_backward),
     {F32("q", 3, 8), F32("k", 3, 4), F32("v", 3, 4), F32("lse", 3, 2), F32("out", 3, 8), F32("dout", 3, 8),
      F32("dq", 3, 8), F32("dk", 3, 4), F32("dv", 3, 4)}},
    {OPERATION(mlp_swiglu_forward), {F32("gate", 3, 8), F32("up", 3, 8), F32("h", 3, 8)}},
    {OPERATION(mlp_swiglu_backward),
     {F32("dh", 3, 8), F32("gate", 3, 8), F32("up", 3, 8), F32("dgate", 3, 8), F32("dup", 3, 8)}},
    {OPERATION(embedding_forward), {I32("ids", 1, 3), F32("table", 5, 8), F32("y", 3, 8)}},
    {OPERATION(embedding_backward), {I32("ids", 1, 3), F32("dy", 3, 8), F32("dtable", 5, 8)}},
    {OPERATION(loss_linear_cross_entropy),
     {F32("hidden", 3, 8), F32("head.dense", 5, 8), OPTIONAL("head.bias", 1, 5), I32("labels", 1, 3), F32("loss", 1, 3),
      OPTIONAL("dhidden", 3, 8)}},
    {OPERATION(optim_global_norm), {F32("norm", 1, 2)}},
};

/* Each makes a tensor wrong. */
static void unknown_type(nf4j_tensor *t) { t->dtype = 77; }
static void type_of_nothing(nf4j_tensor *t) { t->dtype = 0; }
static void negative_rows(nf4j_tensor *t) { t->rows = -1; }
static void negative_columns(nf4j_tensor *t) { t->cols = -1; }
static void overlapping_rows(nf4j_tensor *t) { t->ld = t->cols - 1; }
static void negative_stride(nf4j_tensor *t) { t->ld = INT64_MIN; }
static void overflowing_rows(nf4j_tensor *t) { t->rows = INT64_MAX; }
static void overflowing_columns(nf4j_tensor *t) { t->cols = t->ld = INT64_MAX; }
static void overflowing_stride(nf4j_tensor *t) { t->ld = INT64_MAX / 2; }
static void no_memory(nf4j_tensor *t) { t->data = NULL; }
static void misaligned(nf4j_tensor *t) { t->data = (char *)t->data + 1; }
static void reserved(nf4j_tensor *t) { t->reserved = 1; }

#define WAY(name) {#name, name}

static const struct {
    const char *name;
    void (*apply)(nf4j_tensor *);
} ways[] = {WAY(unknown_type),       WAY(type_of_nothing), WAY(negative_rows),    WAY(negative_columns),
            WAY(overlapping_rows),   WAY(negative_stride), WAY(overflowing_rows), WAY(overflowing_columns),
            WAY(overflowing_stride), WAY(no_memory),       WAY(misaligned),       WAY(reserved)};

static float memory[2048], before[2048];

/* The call is refused for this tensor, and has written nothing. */
static void check_refused(size_t operation, size_t tensor, tensors arguments, const char *way) {
    const char *function = operations[operation].name, *name = operations[operation].tensors[tensor].name;
    char expected[64];
    const int length = snprintf(expected, sizeof expected, "%s: %s", function, name);
    memcpy(before, memory, sizeof memory);
    const int32_t status = operations[operation].call(arguments);
    const char *text = nf4j_last_error();
    CHECK(status == NF4J_INVALID_ARGUMENT, "%s with %s of %s gave status %d", function, way, name, status);
    CHECK(strncmp(text, expected, (size_t)length) == 0 && (text[length] == ' ' || text[length] == '.'),
          "%s with %s of %s: %s", function, way, name, text);
    CHECK(memcmp(memory, before, sizeof memory) == 0, "%s with %s of %s wrote", function, way, name);
}

static void test_operation(size_t operation) {
    nf4j_tensor right[most_tensors];
    const nf4j_tensor *arguments[most_tensors] = {NULL};
    size_t count = 0, used = 0;
    memset(memory, 0, sizeof memory);
    for (; count < most_tensors && operations[operation].tensors[count].name; count++) {
        const struct tensor *t = &operations[operation].tensors[count];
        const nf4j_tensor value = {memory + used, t->rows, t->cols, t->cols, t->dtype, 0};
        right[count] = value;
        arguments[count] = &right[count];
        used += (size_t)(t->rows * t->cols);
    }
    CHECK(used <= sizeof memory / sizeof memory[0], "the memory of the test is too small");
    CHECK_OK(operations[operation].call(arguments));
    for (size_t i = 0; i < count; i++) {
        nf4j_tensor wrong;
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            wrong = right[i];
            ways[w].apply(&wrong);
            arguments[i] = &wrong;
            check_refused(operation, i, arguments, ways[w].name);
        }
        arguments[i] = NULL;
        if (operations[operation].tensors[i].optional)
            CHECK_OK(operations[operation].call(arguments));
        else
            check_refused(operation, i, arguments, "none");
        arguments[i] = &right[i];
    }
}

int main(void) {
    const nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_REFERENCE};
    CHECK_OK(nf4j_device_open(&options, &device));
    CHECK_OK(nf4j_stream_create(device, NULL, &stream));
    CHECK_OK(nf4j_nf4_weight_bytes(device, weight.rows, weight.cols, weight.block_size, 0, &weight.bytes));
    CHECK_OK(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    memset(weight.data, 0, (size_t)weight.bytes);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) test_operation(i);
    CHECK_OK(nf4j_memory_free(device, weight.data));
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    return test_result("tensor_argument_test");
}
