/* nf4j_explain, of every operation on every backend that can be opened here: variant, tile, workspace, reason, and on GPUs the floor. */
#include "nf4j.h"
#include "test.h"

#include <stdint.h>

static nf4j_device *device;
static nf4j_stream *stream;

static int open_device(int32_t backend, int32_t ordinal) {
    const nf4j_device_options options = {.struct_size = sizeof options, .backend = backend, .ordinal = ordinal};
    const int32_t status = nf4j_device_open(&options, &device);
    if (status == NF4J_BACKEND_UNAVAILABLE) { /* simt is a library of its own */
        printf("skipped backend %d: %s\n", backend, nf4j_last_error());
        return 0;
    }
    CHECK_OK(status);
    CHECK_OK(nf4j_stream_create(device, NULL, &stream));
    return 1;
}

static void close_device(void) {
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
}

/* "VARIANT, ... tile ..., workspace of ...: REASON". Programs compare what stands before the first comma. */
static void check_text(const char *text, int32_t backend, int32_t operation) {
    const char *comma = strchr(text, ','), *workspace = strstr(text, ", workspace of ");
    const char *reason = workspace ? strstr(workspace, ": ") : NULL;
    CHECK(comma && comma > text, "backend %d, operation %d: no variant in \"%s\"", backend, operation, text);
    CHECK(strstr(text, "tile"), "backend %d, operation %d: no tile in \"%s\"", backend, operation, text);
    CHECK(workspace, "backend %d, operation %d: no workspace in \"%s\"", backend, operation, text);
    CHECK(reason && strlen(reason) > strlen(": why"), "backend %d, operation %d: no reason in \"%s\"", backend,
          operation, text);
}

static void test_operations(int32_t backend) {
    static const int64_t shapes[][3] = {{0, 0, 0},     {0, 64, 64},    {1, 256, 512},    {4, 40, 64},
                                        {33, 100, 96}, {64, 256, 256}, {512, 2048, 256}, {1 << 20, 4096, 128}};
    static const int32_t types[] = {NF4J_F32, NF4J_BF16};
    for (int32_t operation = NF4J_OP_NF4_QUANTIZE; operation <= NF4J_OP_MEMORY; operation++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            for (size_t t = 0; t < 2; t++) {
                const int64_t *shape = shapes[s];
                /* k is attention's head_dim, which has a limit on GPUs. */
                const int64_t k = operation == NF4J_OP_ATTENTION && shape[2] > 256 ? 256 : shape[2];
                char text[1024] = "";
                CHECK_OK(nf4j_explain(stream, operation, shape[0], shape[1], k, types[t], text, sizeof text));
                check_text(text, backend, operation);
            }
        }
    }
}

/* Where the shape decides, the text follows it. */
static void test_choice(int32_t backend) {
    char few[1024], many[1024];
    /* With AMX, tiles take every product in BF16. */
    const int32_t type = backend == NF4J_BACKEND_CPU ? NF4J_F32 : NF4J_BF16;
    CHECK_OK(nf4j_explain(stream, NF4J_OP_NF4_MATMUL, 1, 4096, 4096, type, few, sizeof few));
    CHECK_OK(nf4j_explain(stream, NF4J_OP_NF4_MATMUL, 4096, 4096, 4096, type, many, sizeof many));
    CHECK((strcmp(few, many) != 0) == (backend != NF4J_BACKEND_REFERENCE), "backend %d: \"%s\" and \"%s\"", backend,
          few, many);
    if (backend == NF4J_BACKEND_REFERENCE) return;
    CHECK(strstr(few, "few"), "one token: \"%s\"", few);
    CHECK(!strstr(many, "few"), "many tokens: \"%s\"", many);
    CHECK_OK(nf4j_explain(stream, NF4J_OP_LORA_BACKWARD, 64, 128, 128, NF4J_BF16, many, sizeof many));
    CHECK(strstr(many, " 256 bytes for each rank"), "du of 64 tokens: \"%s\"", many);
}

/* Of every operation, the time that a GPU cannot beat: bytes over the bandwidth of memory, or operations over their rate. */
static void test_floors(const char *device) {
    static const struct {
        int32_t operation;
        int64_t m, n, k;
        const char *moves;
        double bytes;
    } streamed[] = {{NF4J_OP_NORM, 1024, 4096, 0, "; forward it moves 16.8 MB, ", 2 * 2 * 1024 * 4096},
                    {NF4J_OP_ROPE, 1024, 4096, 0, "; forward it moves 16.8 MB, ", 2 * 2 * 1024 * 4096},
                    {NF4J_OP_MLP, 1024, 4096, 0, "; forward it moves 25.2 MB, ", 3 * 2 * 1024 * 4096},
                    {NF4J_OP_EMBEDDING, 1024, 4096, 0, "; forward it moves 16.8 MB, ", 2 * 2 * 1024 * 4096},
                    {NF4J_OP_OPTIM, 1, 1000000, 0, "; AdamW with states of 32 bits moves 28 MB, ", 28e6},
                    {NF4J_OP_MEMORY, 1024, 4096, 0, "; a copy moves 16.8 MB, ", 2 * 2 * 1024 * 4096},
                    {NF4J_OP_NF4_QUANTIZE, 0, 1024, 4096, "; it moves 10.7 MB, ", 2.5625 * 1024 * 4096},
                    {NF4J_OP_NF4_DEQUANTIZE, 0, 1024, 4096, "; it moves 10.7 MB, ", 2.5625 * 1024 * 4096}};
    const double bandwidth = strcmp(device, "A100") == 0 ? 2.04e12 : 3.0e12; /* cuda/devices.h */
    char text[1024], wanted[160];
    for (size_t i = 0; i < sizeof streamed / sizeof streamed[0]; i++) {
        CHECK_OK(nf4j_explain(stream, streamed[i].operation, streamed[i].m, streamed[i].n, streamed[i].k, NF4J_BF16,
                              text, sizeof text));
        snprintf(wanted, sizeof wanted, "%sat least %.3g us on %s: memory", streamed[i].moves,
                 streamed[i].bytes / bandwidth * 1e6, device);
        CHECK(strstr(text, wanted), "\"%s\" is not in \"%s\"", wanted, text);
    }
    snprintf(wanted, sizeof wanted, " us on %s: ", device);
    for (int32_t operation = NF4J_OP_NF4_QUANTIZE; operation <= NF4J_OP_MEMORY; operation++) {
        CHECK_OK(nf4j_explain(stream, operation, 512, 256, 128, NF4J_F32, text, sizeof text));
        CHECK(strstr(text, wanted), "operation %d has no floor: \"%s\"", operation, text);
    }
}

static void test_refusals(void) {
    char text[64] = "untouched", one[8];
    CHECK_REFUSED("explain: operation is 0, expected one of nf4j_operation (1 ... 15)",
                  nf4j_explain(stream, 0, 1, 1, 1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: operation is 16, expected one of nf4j_operation (1 ... 15)",
                  nf4j_explain(stream, NF4J_OP_MEMORY + 1, 1, 1, 1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: operation is -1, expected one of nf4j_operation (1 ... 15)",
                  nf4j_explain(stream, -1, 1, 1, 1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: dtype is 0x0210, expected F32 or BF16",
                  nf4j_explain(stream, NF4J_OP_NORM, 1, 1, 1, NF4J_F16, text, sizeof text));
    CHECK_REFUSED("explain: m is -1, expected at least 0",
                  nf4j_explain(stream, NF4J_OP_NORM, -1, 1, 1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: n is -1, expected at least 0",
                  nf4j_explain(stream, NF4J_OP_NORM, 1, -1, 1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: k is -1, expected at least 0",
                  nf4j_explain(stream, NF4J_OP_NORM, 1, 1, -1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: m, n and k are 4294967296, 4294967296 and 1, expected sizes whose products fit into memory",
                  nf4j_explain(stream, NF4J_OP_NF4_MATMUL, 1LL << 32, 1LL << 32, 1, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: m, n and k are 0, 9223372036854775807 and 0, expected sizes whose products fit into memory",
                  nf4j_explain(stream, NF4J_OP_NF4_MATMUL, 0, INT64_MAX, 0, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: text is null", nf4j_explain(stream, NF4J_OP_NORM, 1, 1, 1, NF4J_F32, NULL, 64));
    CHECK_REFUSED("explain: capacity is 0, expected at least 1",
                  nf4j_explain(stream, NF4J_OP_NORM, 1, 1, 1, NF4J_F32, text, 0));
    CHECK(strcmp(text, "untouched") == 0, "a refused call wrote %s", text);

    for (int32_t operation = NF4J_OP_NF4_QUANTIZE; operation <= NF4J_OP_MEMORY; operation++) {
        memset(one, 'x', sizeof one);
        CHECK_OK(nf4j_explain(stream, operation, 8, 64, 64, NF4J_BF16, one, 4));
        CHECK(strlen(one) == 3 && one[4] == 'x', "cut to %.8s", one);
        CHECK_OK(nf4j_explain(stream, operation, 8, 64, 64, NF4J_F32, one, 1));
        CHECK(one[0] == 0 && one[4] == 'x', "cut to %.8s", one);
    }
}

int main(void) {
    static const struct {
        int32_t backend, ordinal;
    } devices[] = {{NF4J_BACKEND_REFERENCE, 0}, {NF4J_BACKEND_CPU, 0}, {NF4J_BACKEND_SIMT, 0}, {NF4J_BACKEND_SIMT, 1}};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        if (!open_device(devices[i].backend, devices[i].ordinal)) continue;
        test_operations(devices[i].backend);
        test_choice(devices[i].backend);
        test_refusals();
        if (devices[i].backend == NF4J_BACKEND_SIMT) {
            char text[64];
            test_floors(devices[i].ordinal == 0 ? "A100" : "H100");
            CHECK_FAILS(NF4J_UNSUPPORTED, "attention: head_dim is 257, the kernels go up to 256",
                        nf4j_explain(stream, NF4J_OP_ATTENTION, 8, 4, 257, NF4J_F32, text, sizeof text));
        }
        close_device();
    }
    return test_result("explain_test");
}
