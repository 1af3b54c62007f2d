/* Wrong arguments of every operation: the status, the text, and that nothing is written. */
#include "nf4j.h"
#include "test.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static nf4j_device *device;
static nf4j_stream *stream;

/* Float memory for all tensors of a test, refilled by `matrix`; tensors do not overlap. */
static float memory[1 << 14];
static size_t used;

static nf4j_tensor matrix_of(int64_t rows, int64_t cols, int32_t dtype) {
    const nf4j_tensor x = {memory + used, rows, cols, cols, dtype, 0};
    used += (size_t)(rows * cols);
    return x;
}

static nf4j_tensor matrix(int64_t rows, int64_t cols) { return matrix_of(rows, cols, NF4J_F32); }

static nf4j_tensor integers(int64_t cols) { return matrix_of(1, cols, NF4J_I32); }

static void begin(void) {
    memset(memory, 0, sizeof memory);
    used = 0;
}

static nf4j_nf4_weight make_weight(int64_t rows, int64_t cols) {
    nf4j_nf4_weight weight = {.struct_size = sizeof weight, .rows = rows, .cols = cols, .block_size = 64};
    CHECK_OK(nf4j_nf4_weight_bytes(device, rows, cols, 64, 0, &weight.bytes));
    CHECK_OK(nf4j_memory_alloc(device, weight.bytes, &weight.data));
    memset(weight.data, 0, (size_t)weight.bytes);
    return weight;
}

static void test_tensors(void) {
    begin();
    nf4j_tensor a = matrix(3, 4), b = matrix(3, 4), y = matrix(3, 4);
    CHECK_REFUSED("memory_add: stream is null", nf4j_memory_add(NULL, &a, &b, &y));
    CHECK_REFUSED("memory_add: a is null", nf4j_memory_add(stream, NULL, &b, &y));
    nf4j_tensor bad = a;
    bad.dtype = NF4J_I32;
    CHECK_REFUSED("memory_add: a is I32, expected F32 or BF16", nf4j_memory_add(stream, &bad, &b, &y));
    bad.dtype = 77;
    CHECK_REFUSED("memory_add: a has the unknown dtype 0x004d, expected F32 or BF16",
                  nf4j_memory_add(stream, &bad, &b, &y));
    CHECK_REFUSED("memory_add: b has the unknown dtype 0x004d, expected F32", nf4j_memory_add(stream, &a, &bad, &y));
    bad = a;
    bad.rows = -1;
    CHECK_REFUSED("memory_add: a has the shape [-1, 4], expected no negative size",
                  nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.ld = 3;
    CHECK_REFUSED("memory_add: a.ld is 3, expected at least its 4 columns", nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.reserved = 1;
    CHECK_REFUSED("memory_add: a.reserved is 1, expected 0", nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.data = NULL;
    CHECK_REFUSED("memory_add: a.data is null", nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.data = (void *)0x1002;
    CHECK_REFUSED("memory_add: a is at 0x1002, expected an address that is a multiple of 4",
                  nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.rows = INT64_MAX / 4;
    CHECK_REFUSED("memory_add: a of [2305843009213693951, 4] with ld 4 does not fit into 64-bit addresses",
                  nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.rows = 1;
    bad.ld = INT64_MAX;
    CHECK_REFUSED("memory_add: a of [1, 4] with ld 9223372036854775807 does not fit into 64-bit addresses",
                  nf4j_memory_add(stream, &bad, &b, &y));
    bad = a;
    bad.rows = 2;
    CHECK_REFUSED("memory_add: b is [2, 4], a is [3, 4], expected the same shape",
                  nf4j_memory_add(stream, &a, &bad, &y));
    bad = y;
    bad.data = (float *)a.data + 1;
    CHECK_REFUSED("memory_add: y and a overlap in memory", nf4j_memory_add(stream, &a, &b, &bad));
    CHECK_OK(nf4j_memory_add(stream, &a, &b, &a)); /* in place is allowed */
    nf4j_tensor empty = {NULL, 0, 4, 4, NF4J_F32, 0};
    CHECK_OK(nf4j_memory_add(stream, &empty, &empty, &empty));

    /* Columns of one wide matrix are apart although their address ranges cross. */
    nf4j_tensor left = {memory, 3, 4, 12, NF4J_F32, 0}, right = left, middle = left;
    right.data = memory + 4;
    CHECK_OK(nf4j_memory_copy(stream, &left, &right));
    CHECK_OK(nf4j_memory_copy(stream, &right, &left));
    middle.data = memory + 9; /* runs into the next row */
    CHECK_REFUSED("memory_copy: dst and src overlap in memory", nf4j_memory_copy(stream, &left, &middle));
    middle.data = memory + 3;
    CHECK_REFUSED("memory_copy: dst and src overlap in memory", nf4j_memory_copy(stream, &left, &middle));
    right.dtype = NF4J_I32;
    CHECK_REFUSED("memory_copy: dst is I32, expected F32", nf4j_memory_copy(stream, &left, &right));
    CHECK_REFUSED("memory_cast: dst is I32, expected F32 or F16 or BF16", nf4j_memory_cast(stream, &left, &right));
    CHECK_REFUSED("memory_fill: value is 3e+09, which is no I32", nf4j_memory_fill(stream, 3e9, &right));
    CHECK_REFUSED("memory_fill: value is nan, which is no I32", nf4j_memory_fill(stream, (double)NAN, &right));
}

static void test_nf4(void) {
    begin();
    nf4j_nf4_weight weight = make_weight(4, 128);
    nf4j_tensor w = matrix(4, 128), x = matrix(2, 128), y = matrix(2, 4), bias = matrix(1, 4);
    int64_t bytes = -1;
    CHECK_REFUSED("nf4_weight_bytes: block_size is 48, expected 32, 64, 128, 256, 512, 1024, 2048 or 4096",
                  nf4j_nf4_weight_bytes(device, 4, 128, 48, 0, &bytes));
    CHECK_REFUSED("nf4_weight_bytes: weight is [0, 128], expected positive sizes whose product fits into memory",
                  nf4j_nf4_weight_bytes(device, 0, 128, 64, 0, &bytes));
    CHECK(nf4j_nf4_weight_bytes(device, INT64_MAX / 2, 128, 64, 0, &bytes) == NF4J_INVALID_ARGUMENT, "overflow");
    CHECK_REFUSED("nf4_weight_bytes: double_quant is 2, expected 0 or 1",
                  nf4j_nf4_weight_bytes(device, 4, 128, 64, 2, &bytes));
    CHECK(bytes == -1, "a refused call wrote %lld", (long long)bytes);
    CHECK_OK(nf4j_nf4_weight_bytes(device, 1 << 20, 1 << 20, 64, 1, &bytes));
    CHECK(bytes > (1LL << 39), "2^40 elements in %lld bytes", (long long)bytes);

    memory[128 + 3] = NAN;
    CHECK_REFUSED("nf4_quantize: w has nan at (1, 3), expected finite numbers", nf4j_nf4_quantize(stream, &w, &weight));
    memory[128 + 3] = -INFINITY;
    CHECK_REFUSED("nf4_quantize: w has -inf at (1, 3), expected finite numbers",
                  nf4j_nf4_quantize(stream, &w, &weight));
    memory[128 + 3] = 0;
    CHECK_OK(nf4j_nf4_quantize(stream, &w, &weight));
    nf4j_tensor strided = w;
    strided.rows = 3;
    CHECK_REFUSED("nf4_quantize: w has 3 rows, weight has 4 (w and weight are the same matrix)",
                  nf4j_nf4_quantize(stream, &strided, &weight));
    strided = matrix(4, 130);
    strided.cols = 128;
    CHECK_REFUSED("nf4_quantize: w has 130 elements between rows, w has 128 columns (w must be contiguous)",
                  nf4j_nf4_quantize(stream, &strided, &weight));

    nf4j_tensor narrow = matrix(2, 96);
    memory[used - 1] = 0;
    memory[(float *)y.data - memory] = 42;
    CHECK_REFUSED("nf4_matmul: x has 96 columns, weight has 128 (x is [m, in], weight [out, in], y [m, out])",
                  nf4j_nf4_matmul(stream, &narrow, &weight, &bias, &y));
    CHECK(*(float *)y.data == 42, "a refused call wrote y");
    nf4j_tensor wide = matrix(2, 5);
    CHECK_REFUSED("nf4_matmul: y has 5 columns, weight has 4 rows (x is [m, in], weight [out, in], y [m, out])",
                  nf4j_nf4_matmul(stream, &x, &weight, &bias, &wide));
    CHECK_REFUSED("nf4_matmul: bias has 2 rows, a vector has 1 row (bias is [1, out])",
                  nf4j_nf4_matmul(stream, &x, &weight, &y, &y));
    bias.dtype = NF4J_BF16;
    CHECK_REFUSED("nf4_matmul: bias is BF16, expected F32", nf4j_nf4_matmul(stream, &x, &weight, &bias, &y));
    CHECK_REFUSED(
        "nf4_matmul_backward: dx has 5 columns, weight has 128 (dy is [m, out], weight [out, in], dx [m, in])",
        nf4j_nf4_matmul_backward(stream, &y, &weight, &wide));
    CHECK_REFUSED("nf4_dequantize: first_row is 3 and out has 2 rows, weight has 4",
                  nf4j_nf4_dequantize(stream, &weight, 3, &x));
    CHECK_REFUSED("nf4_dequantize: first_row is -1 and out has 2 rows, weight has 4",
                  nf4j_nf4_dequantize(stream, &weight, -1, &x));
    nf4j_tensor none = {NULL, 0, 128, 128, NF4J_F32, 0}, nothing = {NULL, 0, 4, 4, NF4J_F32, 0};
    CHECK_OK(nf4j_nf4_matmul(stream, &none, &weight, NULL, &nothing));

    nf4j_nf4_weight bad = weight;
    bad.bytes = 100;
    CHECK(nf4j_nf4_matmul(stream, &x, &bad, NULL, &y) == NF4J_INVALID_ARGUMENT, "a weight of 100 bytes");
    CHECK(strstr(nf4j_last_error(), "nf4_matmul: weight.bytes is 100, expected at least "), "%s", nf4j_last_error());
    bad = weight;
    bad.data = NULL;
    CHECK_REFUSED("nf4_matmul: weight.data is null", nf4j_nf4_matmul(stream, &x, &bad, NULL, &y));
    bad = weight;
    bad.struct_size = 0;
    CHECK_REFUSED("nf4_matmul: weight.struct_size is 0, expected 48 (set it to sizeof(*weight))",
                  nf4j_nf4_matmul(stream, &x, &bad, NULL, &y));

    uint8_t codes[256] = {0};
    float absmax[8] = {0}, map[16] = {0};
    nf4j_nf4_state state = {
        .struct_size = sizeof state, .rows = 4, .cols = 128, .block_size = 64, .codes = codes, .quant_map = map};
    CHECK_REFUSED("nf4_import: state.absmax is null", nf4j_nf4_import(stream, &state, &weight));
    state.absmax = absmax;
    state.block_size = 32;
    CHECK_REFUSED("nf4_export: state has 32 elements a block, weight has 64 (state and weight are the same matrix)",
                  nf4j_nf4_export(stream, &weight, &state));
    state.block_size = 64;
    CHECK_OK(nf4j_nf4_export(stream, &weight, &state));
    CHECK_OK(nf4j_memory_free(device, weight.data));
}

static void test_linear(void) {
    begin();
    nf4j_tensor x = matrix(2, 8), w = matrix(6, 8), y = matrix(2, 6), a = matrix(3, 8), b = matrix(6, 3),
                u = matrix(2, 3);
    nf4j_tensor da = matrix(3, 8), db = matrix(6, 3), dx = matrix(2, 8);
    nf4j_linear base = {.struct_size = sizeof base};
    nf4j_lora lora = {.struct_size = sizeof lora, .alpha = 1, .a = &a, .b = &b};
    CHECK_REFUSED("lora_forward: base.dense and base.nf4 are both null, expected exactly one of them",
                  nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    base.dense = &w;
    CHECK_OK(nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    lora.dropout = 1;
    CHECK_REFUSED("lora_forward: lora.dropout is 1, expected 0 <= dropout < 1",
                  nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    lora.dropout = NAN;
    CHECK_REFUSED("lora_forward: lora.dropout is nan, expected 0 <= dropout < 1",
                  nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    lora.dropout = 0;
    CHECK_REFUSED(
        "lora_forward: u has 8 columns, lora.a has 3 rows (x is [m, in], base [out, in], u [m, rank], y [m, out])",
        nf4j_lora_forward(stream, &x, &base, &lora, &dx, &y));
    lora.b = &a;
    CHECK_REFUSED("lora_forward: lora.b has 3 rows, base has 6 (base is [out, in], a [rank, in], b [out, rank])",
                  nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    lora.b = &b;
    nf4j_tensor no_rank = a;
    no_rank.rows = 0;
    lora.a = &no_rank;
    CHECK_REFUSED("lora_forward: the rank (rows of lora.a) is 0, expected at least 1",
                  nf4j_lora_forward(stream, &x, &base, &lora, &u, &y));
    lora.a = &a;
    CHECK_REFUSED("lora_backward: accumulate_dx is 7, expected 0 or 1",
                  nf4j_lora_backward(stream, &x, &y, &u, &base, &lora, 7, &da, &db, &dx));
    CHECK_REFUSED("lora_backward: da is [6, 3], lora.a is [3, 8], expected the same shape",
                  nf4j_lora_backward(stream, &x, &y, &u, &base, &lora, 0, &db, &db, &dx));
    CHECK_REFUSED("lora_backward: dx and x overlap in memory",
                  nf4j_lora_backward(stream, &x, &y, &u, &base, &lora, 0, &da, &db, &x));
    CHECK_OK(nf4j_lora_backward(stream, &x, &y, &u, &base, &lora, 0, &da, &db, NULL));

    nf4j_matmul_options options = {.struct_size = sizeof options, .transpose_b = 1, .alpha = 1};
    CHECK_OK(nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));
    options.transpose_b = 0;
    CHECK_REFUSED(
        "dense_matmul: a has 8 columns, b has 6 rows "
        "(a is [m, k] or transposed [k, m], b [k, n] or transposed [n, k], c [m, n])",
        nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));
    options.transpose_b = 1;
    struct {
        nf4j_matmul_options known;
        int32_t unknown;
    } newer = {options, 0};
    newer.known.struct_size = sizeof newer; /* of a header with one more field */
    CHECK_OK(nf4j_dense_matmul(stream, &newer.known, &x, &w, NULL, &y));
    newer.unknown = 1 << 24;
    CHECK(nf4j_dense_matmul(stream, &newer.known, &x, &w, NULL, &y) == NF4J_INVALID_ARGUMENT, "an unknown field");
    CHECK(strstr(nf4j_last_error(), "dense_matmul: options has a field at byte 27 that this library"), "%s",
          nf4j_last_error());
    options.transpose_b = 0;
    options.beta = INFINITY;
    CHECK_REFUSED("dense_matmul: options.beta is inf, expected a finite number",
                  nf4j_dense_matmul(stream, &options, &x, &w, NULL, &y));

    nf4j_tensor labels = integers(2), loss = matrix(1, 2), dhidden = matrix(2, 8);
    ((int32_t *)labels.data)[1] = -100;
    CHECK_OK(nf4j_loss_linear_cross_entropy(stream, &x, &base, &labels, 1, &loss, &dhidden));
    ((int32_t *)labels.data)[1] = 6;
    CHECK_REFUSED("loss_linear_cross_entropy: labels has 6 at 1, expected 0 ... 5 or -100",
                  nf4j_loss_linear_cross_entropy(stream, &x, &base, &labels, 1, &loss, NULL));
    labels.cols = 1;
    CHECK_REFUSED(
        "loss_linear_cross_entropy: labels has 1 columns, hidden has 2 rows "
        "(hidden and dhidden are [m, n], head [vocabulary, n], labels and loss [1, m])",
        nf4j_loss_linear_cross_entropy(stream, &x, &base, &labels, 1, &loss, NULL));
    base.nf4 = (const nf4j_nf4_weight *)&base;
    CHECK_REFUSED("loss_linear_cross_entropy: head.dense and head.nf4 are both given, expected exactly one of them",
                  nf4j_loss_linear_cross_entropy(stream, &x, &base, &labels, 1, &loss, NULL));
}

static void test_lora_steps(void) {
    begin();
    nf4j_tensor x = matrix(2, 8), w = matrix(6, 8), y = matrix(2, 6), a = matrix(3, 8), b = matrix(6, 3),
                u = matrix(2, 3);
    nf4j_tensor other_a = matrix(4, 8), other_u = matrix(2, 4);
    nf4j_lora lora = {.struct_size = sizeof lora, .alpha = 1, .a = &a, .b = &b}, other = lora;
    other.a = &other_a;
    const nf4j_lora *loras[] = {&lora, &other};
    const nf4j_tensor *us[] = {&u, &other_u};
    CHECK_OK(nf4j_lora_project(stream, &x, loras, 2, us));
    us[1] = &y;
    CHECK_REFUSED("lora_project: us[1] has 6 columns, loras[1].a has 4 rows (x is [m, in], a [rank, in], u [m, rank])",
                  nf4j_lora_project(stream, &x, loras, 2, us));
    us[1] = &w;
    CHECK_REFUSED("lora_project: us[1] has 6 rows, x has 2 (x is [m, in], a [rank, in], u [m, rank])",
                  nf4j_lora_project(stream, &x, loras, 2, us));
    us[1] = &other_u;
    other.a = &b;
    CHECK_REFUSED("lora_project: loras[1].a has 3 columns, x has 8 (x is [m, in], a [rank, in], u [m, rank])",
                  nf4j_lora_project(stream, &x, loras, 2, us));
    nf4j_tensor no_rank = a;
    no_rank.rows = 0;
    other.a = &no_rank;
    CHECK_REFUSED("lora_project: the rank (rows of loras[1].a) is 0, expected at least 1",
                  nf4j_lora_project(stream, &x, loras, 2, us));
    other.a = &other_a;
    nf4j_tensor in_x = other_u, in_factor = other_u, in_other_u = other_u;
    in_x.data = x.data;
    in_factor.data = a.data;
    in_other_u.data = u.data;
    us[1] = &in_x;
    CHECK_REFUSED("lora_project: us[1] and x overlap in memory", nf4j_lora_project(stream, &x, loras, 2, us));
    us[1] = &in_factor;
    CHECK_REFUSED("lora_project: us[1] and loras[0].a overlap in memory", nf4j_lora_project(stream, &x, loras, 2, us));
    us[1] = &in_other_u;
    CHECK_REFUSED("lora_project: us[1] and us[0] overlap in memory", nf4j_lora_project(stream, &x, loras, 2, us));

    nf4j_linear base = {.struct_size = sizeof base, .dense = &w};
    CHECK_OK(nf4j_lora_apply(stream, &x, &base, &lora, &u, &y));
    CHECK_REFUSED(
        "lora_apply: u has 4 columns, lora.b has 3 (x is [m, in], base [out, in], b [out, rank], u [m, rank], y [m, out])",
        nf4j_lora_apply(stream, &x, &base, &lora, &other_u, &y));
    CHECK_REFUSED(
        "lora_apply: u has 6 rows, x has 2 (x is [m, in], base [out, in], b [out, rank], u [m, rank], y [m, out])",
        nf4j_lora_apply(stream, &x, &base, &lora, &b, &y));
    lora.b = &a;
    CHECK_REFUSED("lora_apply: lora.b has 3 rows, base has 6 (base is [out, in], a [rank, in], b [out, rank])",
                  nf4j_lora_apply(stream, &x, &base, &lora, &u, &y));
    nf4j_tensor no_columns = b;
    no_columns.cols = 0;
    lora.b = &no_columns;
    CHECK_REFUSED("lora_apply: the rank (columns of lora.b) is 0, expected at least 1",
                  nf4j_lora_apply(stream, &x, &base, &lora, &u, &y));
    lora.b = &b;
    nf4j_tensor in_y = u;
    in_y.data = y.data;
    CHECK_REFUSED("lora_apply: y and u overlap in memory", nf4j_lora_apply(stream, &x, &base, &lora, &in_y, &y));
}

static void test_layers(void) {
    begin();
    nf4j_tensor x = matrix(3, 8), y = matrix(3, 8), weight = matrix(1, 8), rstd = matrix(1, 3), dx = matrix(3, 8);
    nf4j_tensor other = matrix(3, 7);
    const char *norm_text =
        "norm_forward: rstd has 8 columns, x has 3 rows (x and y are [m, n], weight [1, n], rstd [1, m])";
    CHECK_REFUSED(norm_text, nf4j_norm_forward(stream, &x, &weight, 1e-5f, &weight, &y));
    CHECK_REFUSED("norm_forward: eps is -1, expected a finite number >= 0",
                  nf4j_norm_forward(stream, &x, &weight, -1, &rstd, &y));
    CHECK_OK(nf4j_norm_backward(stream, &y, &x, &weight, &rstd, 0, NULL, &y)); /* dx may be dy ... */
    CHECK_REFUSED("norm_backward: dx and dy overlap in memory",                /* ... when it is not added to */
                  nf4j_norm_backward(stream, &y, &x, &weight, &rstd, 1, NULL, &y));
    CHECK_REFUSED("norm_backward: dx and x overlap in memory",
                  nf4j_norm_backward(stream, &y, &x, &weight, &rstd, 0, NULL, &x));

    nf4j_tensor positions = integers(3), inv_freq = matrix(1, 2), table = matrix(3, 4);
    CHECK_OK(nf4j_rope_table(stream, &positions, &inv_freq, 1, &table));
    CHECK_REFUSED("rope_table: table.cols is 7, expected a positive even number",
                  nf4j_rope_table(stream, &positions, &inv_freq, 1, &other));
    CHECK_REFUSED("rope_forward: x has 7 columns, expected a multiple of the 4 of table (heads of head_dim columns)",
                  nf4j_rope_forward(stream, &other, &table, &y));
    CHECK_OK(nf4j_rope_forward(stream, &x, &table, &x));
    CHECK_REFUSED("rope_backward: dx is [3, 7], dy is [3, 8], expected the same shape",
                  nf4j_rope_backward(stream, &x, &table, &other));

    CHECK_OK(nf4j_mlp_swiglu_forward(stream, &x, &y, &y));
    CHECK_OK(nf4j_mlp_swiglu_backward(stream, &dx, &x, &y, &x, &y));
    CHECK_REFUSED("mlp_swiglu_backward: dgate and up overlap in memory",
                  nf4j_mlp_swiglu_backward(stream, &dx, &x, &y, &y, &x));
    CHECK_REFUSED("mlp_swiglu_forward: h is [3, 7], gate is [3, 8], expected the same shape",
                  nf4j_mlp_swiglu_forward(stream, &x, &y, &other));

    nf4j_tensor ids = integers(3), vocabulary = matrix(10, 8);
    ((int32_t *)ids.data)[2] = 10;
    CHECK_REFUSED("embedding_forward: ids has 10 at 2, expected 0 ... 9",
                  nf4j_embedding_forward(stream, &ids, &vocabulary, &y));
    ((int32_t *)ids.data)[2] = -100;
    CHECK_REFUSED("embedding_backward: ids has -100 at 2, expected 0 ... 9",
                  nf4j_embedding_backward(stream, &ids, &y, &vocabulary));
    CHECK_REFUSED("embedding_forward: ids is F32, expected I32",
                  nf4j_embedding_forward(stream, &rstd, &vocabulary, &y));
}

static void test_attention(void) {
    begin();
    nf4j_tensor q = matrix(5, 16), k = matrix(5, 8), v = matrix(5, 8), lse = matrix(5, 4), out = matrix(5, 16);
    nf4j_tensor dq = matrix(5, 16), dk = matrix(5, 8), dv = matrix(5, 8), dout = matrix(5, 16);
    int32_t offsets[] = {0, 2, 5}, starts[] = {0, 2}, lengths[] = {2, 3};
    nf4j_attention_options options = {.struct_size = sizeof options,
                                      .heads = 4,
                                      .kv_heads = 2,
                                      .head_dim = 4,
                                      .scale = 0.5f,
                                      .sequences = 2,
                                      .q_offsets = offsets};
    CHECK_OK(nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    CHECK_OK(nf4j_attention_backward(stream, &options, &q, &k, &v, &lse, &out, &dout, &dq, &dk, &dv));
    options.kv_heads = 3;
    CHECK_REFUSED("attention_forward: options.heads is 4, expected a multiple of kv_heads, 3",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    options.kv_heads = 2;
    options.window = -1;
    CHECK_REFUSED("attention_forward: options.window is -1, expected at least 0",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    options.window = 0;
    offsets[2] = 4;
    CHECK_REFUSED("attention_forward: options.q_offsets ends with 4, q has 5 rows",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    offsets[1] = 6;
    CHECK_REFUSED("attention_forward: sequence 0 has the keys 0 ... 5, k has 5 rows",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    offsets[1] = 5;
    CHECK_REFUSED("attention_forward: options.q_offsets falls from 5 to 4 at 2, expected ascending",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    offsets[0] = 1;
    CHECK_REFUSED("attention_forward: options.q_offsets begins with 1, expected 0",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    offsets[0] = 0, offsets[1] = 2, offsets[2] = 5;
    options.kv_offsets = starts;
    options.kv_lengths = lengths;
    CHECK_OK(nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    CHECK_REFUSED(
        "attention_backward: options.kv_offsets and kv_lengths are given, expected null: "
        "gradients do not flow through a cache",
        nf4j_attention_backward(stream, &options, &q, &k, &v, &lse, &out, &dout, &dq, &dk, &dv));
    lengths[1] = 2;
    CHECK_REFUSED("attention_forward: options.kv_lengths has 2 at 1, expected at least the sequence's 3 queries",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
    lengths[1] = 4;
    CHECK_REFUSED("attention_forward: sequence 1 has the keys 2 ... 5, k has 5 rows",
                  nf4j_attention_forward(stream, &options, &q, &k, &v, &lse, &out));
}

static void test_optim(void) {
    begin();
    nf4j_tensor p = matrix(1, 300), g = matrix(1, 300), m = matrix(1, 300), v = matrix(1, 300), norm = matrix(1, 2);
    nf4j_adamw_parameter parameter = {p.data, g.data, m.data, v.data, NULL, 300};
    nf4j_adamw_options options = {
        .struct_size = sizeof options, .learning_rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .step = 1};
    CHECK_OK(nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    CHECK_OK(nf4j_optim_global_norm(stream, &parameter, 1, 1, &norm));
    CHECK_OK(nf4j_optim_global_norm(stream, NULL, 0, 1, &norm));
    options.step = 0;
    CHECK_REFUSED("optim_adamw: options.step is 0, expected at least 1",
                  nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    options.step = 1;
    options.beta2 = 1;
    CHECK_REFUSED("optim_adamw: options.beta2 is 1, expected 0 <= options.beta2 < 1",
                  nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    options.beta2 = 0.999f;
    options.learning_rate = NAN;
    CHECK_REFUSED("optim_adamw: options.learning_rate is nan, expected a finite number >= 0",
                  nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    options.learning_rate = 1e-3f;
    nf4j_adamw_step step = {0};
    options.device_step = &step; /* has what counts */
    options.learning_rate = NAN;
    options.step = 0;
    CHECK_OK(nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    CHECK_REFUSED("optim_adamw_step: options.learning_rate is nan, expected a finite number >= 0",
                  nf4j_optim_adamw_step(stream, &options, &step));
    options.learning_rate = 1e-3f;
    CHECK_REFUSED("optim_adamw_step: options.step is 0, expected at least 1",
                  nf4j_optim_adamw_step(stream, &options, &step));
    options.step = 1;
    CHECK_REFUSED("optim_adamw_step: step is null", nf4j_optim_adamw_step(stream, &options, NULL));
    CHECK_REFUSED("optim_adamw_step: options is null", nf4j_optim_adamw_step(stream, NULL, &step));
    CHECK(step.correction == 0, "a refused call wrote its result");
    CHECK_OK(nf4j_optim_adamw_step(stream, &options, &step));
    options.device_step = NULL;
    parameter.m = NULL;
    CHECK_REFUSED("optim_adamw: parameters[0].m is null", nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    parameter.m = g.data;
    CHECK_REFUSED("optim_adamw: m and grad overlap in memory", nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    parameter.n = -1;
    CHECK_REFUSED("optim_adamw: parameters[0].n is -1, expected a size in memory",
                  nf4j_optim_adamw(stream, &options, &parameter, 1, NULL));
    CHECK_REFUSED("optim_global_norm: count is -1, expected at least 0",
                  nf4j_optim_global_norm(stream, &parameter, -1, 1, &norm));
    CHECK_REFUSED("optim_global_norm: norm has 300 columns, its result has 2 (norm is [1, 2])",
                  nf4j_optim_global_norm(stream, NULL, 0, 1, &p));
}

int main(void) {
    nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_REFERENCE};
    CHECK_OK(nf4j_device_open(&options, &device));
    CHECK_OK(nf4j_stream_create(device, NULL, &stream));
    test_tensors();
    test_nf4();
    test_linear();
    test_lora_steps();
    test_layers();
    test_attention();
    test_optim();
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    return test_result("argument_test");
}
