/* The ABI from C: versions, layouts, lifetimes, errors of threads, and what options of other sizes do. */
#include "nf4j.h"
#include "test.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static nf4j_device *open_device(int32_t backend) {
    nf4j_device_options options = {.struct_size = sizeof options, .backend = backend};
    nf4j_device *device = NULL;
    CHECK_OK(nf4j_device_open(&options, &device));
    return device;
}

static void test_versions(void) {
    CHECK(nf4j_abi_version() == NF4J_ABI_VERSION, "the library says %d", nf4j_abi_version());
    int major, minor, patch;
    CHECK(sscanf(nf4j_version(), "%d.%d.%d", &major, &minor, &patch) == 3, "version is %s", nf4j_version());
}

/* The C compiler that reads nf4j.h and the library agree on every struct. */
static void expect_line(const char *line) {
    const char *layout = nf4j_abi_layout();
    const char *found = strstr(layout, line);
    CHECK(found && (found == layout || found[-1] == '\n') && found[strlen(line)] == '\n', "no line \"%s\" in\n%s", line,
          layout);
}

#define EXPECT_STRUCT(type)                                         \
    do {                                                            \
        char line[96];                                              \
        snprintf(line, sizeof line, "%s %zu", #type, sizeof(type)); \
        expect_line(line);                                          \
    } while (0)

#define EXPECT_FIELD(type, field)                                                                                    \
    do {                                                                                                             \
        char line[96];                                                                                               \
        snprintf(line, sizeof line, "%s.%s %zu %zu", #type, #field, offsetof(type, field), sizeof((type){0}.field)); \
        expect_line(line);                                                                                           \
    } while (0)

static void test_layout(void) {
    EXPECT_STRUCT(nf4j_tensor);
    EXPECT_STRUCT(nf4j_device_options);
    EXPECT_STRUCT(nf4j_device_info);
    EXPECT_STRUCT(nf4j_stream_options);
    EXPECT_STRUCT(nf4j_nf4_weight);
    EXPECT_STRUCT(nf4j_nf4_state);
    EXPECT_STRUCT(nf4j_matmul_options);
    EXPECT_STRUCT(nf4j_linear);
    EXPECT_STRUCT(nf4j_lora);
    EXPECT_STRUCT(nf4j_attention_options);
    EXPECT_STRUCT(nf4j_adamw_options);
    EXPECT_STRUCT(nf4j_adamw_step);
    EXPECT_STRUCT(nf4j_adamw_parameter);
    EXPECT_FIELD(nf4j_tensor, dtype);
    EXPECT_FIELD(nf4j_device_info, name);
    EXPECT_FIELD(nf4j_nf4_state, nested_map);
    EXPECT_FIELD(nf4j_lora, seed);
    EXPECT_FIELD(nf4j_lora, device_seed);
    EXPECT_FIELD(nf4j_adamw_options, device_step);
    EXPECT_FIELD(nf4j_attention_options, kv_lengths);
    int lines = 0;
    for (const char *c = nf4j_abi_layout(); *c; c++) lines += *c == '\n';
    CHECK(lines == 13 + 89, "nf4j_abi_layout has %d lines", lines);
}

static void test_backends(void) {
    char text[512];
    CHECK_OK(nf4j_backend_probe(NF4J_BACKEND_REFERENCE, text, sizeof text));
    CHECK(strcmp(text, "reference: available") == 0, "%s", text);
    CHECK_OK(nf4j_backend_probe(NF4J_BACKEND_CPU, text, sizeof text));
    CHECK(strlen(text) > 0, "the cpu backend says nothing");
    CHECK_OK(nf4j_backend_probe(NF4J_BACKEND_REFERENCE, text, 4));
    CHECK(strcmp(text, "ref") == 0, "cut to %s", text);
    CHECK_REFUSED("backend_probe: backend is 0, expected a backend's own number (1 ... 4)",
                  nf4j_backend_probe(0, text, sizeof text));
    CHECK_REFUSED("backend_probe: text is null", nf4j_backend_probe(1, NULL, 4));
    CHECK_REFUSED("backend_probe: capacity is 0, expected at least 1", nf4j_backend_probe(1, text, 0));

    nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_SIMT};
    nf4j_device *device = NULL;
    const int32_t status = nf4j_device_open(&options, &device);
    if (status == NF4J_BACKEND_UNAVAILABLE) { /* without the library: which one, where, and the loader's words */
        CHECK(strncmp(nf4j_last_error(), "device_open: /", 14) == 0, "%s", nf4j_last_error());
        CHECK(strstr(nf4j_last_error(), "/libnf4j-simt.so cannot be loaded: "), "%s", nf4j_last_error());
        CHECK(strstr(nf4j_last_error(), "No such file"), "%s", nf4j_last_error());
    } else {
        CHECK_OK(status);
        CHECK_OK(nf4j_device_close(device));
    }
}

static void test_device_options(void) {
    nf4j_device *device = NULL;
    nf4j_device_options options = {.struct_size = sizeof options, .backend = NF4J_BACKEND_REFERENCE};
    CHECK_REFUSED("device_open: options is null", nf4j_device_open(NULL, &device));
    CHECK_REFUSED("device_open: device is null", nf4j_device_open(&options, NULL));
    options.backend = 9;
    CHECK_REFUSED("device_open: options.backend is 9, expected one of nf4j_backend (0 ... 4)",
                  nf4j_device_open(&options, &device));
    options.backend = NF4J_BACKEND_CPU;
    options.isa = -1;
    CHECK_REFUSED("device_open: options.isa is -1, expected one of nf4j_isa (0 ... 6)",
                  nf4j_device_open(&options, &device));
    options.backend = NF4J_BACKEND_REFERENCE;
    options.isa = NF4J_ISA_AVX2;
    CHECK_REFUSED("device_open: options.isa is 2, expected 0: only the cpu backend has instruction sets to choose from",
                  nf4j_device_open(&options, &device));
    options.isa = 0;
    options.ordinal = 1;
    CHECK_REFUSED("device_open: options.ordinal is 1, expected 0: a host backend has one device",
                  nf4j_device_open(&options, &device));
    options.ordinal = 0;
    options.threads = -2;
    CHECK_REFUSED("device_open: options.threads is -2, expected at least 0", nf4j_device_open(&options, &device));
    options.threads = 0;
    options.reserved = 1;
    CHECK_REFUSED("device_open: options.reserved is 1, expected 0", nf4j_device_open(&options, &device));
    CHECK(device == NULL, "a refused open wrote its result");
}

/* Callers compiled with an older or a newer header. */
static void test_struct_sizes(void) {
    struct {
        nf4j_device_options known;
        int32_t newer[2];
    } options = {.known = {.struct_size = sizeof options, .backend = NF4J_BACKEND_REFERENCE}};
    nf4j_device *device = NULL;
    CHECK_OK(nf4j_device_open(&options.known, &device));
    CHECK_OK(nf4j_device_close(device));
    options.newer[1] = 1;
    char expected[160];
    snprintf(expected, sizeof expected,
             "device_open: options has a field at byte 28 that this library (%s) does not know; it must be 0",
             nf4j_version());
    CHECK_REFUSED(expected, nf4j_device_open(&options.known, &device));
    options.known.struct_size = 20;
    CHECK_REFUSED("device_open: options.struct_size is 20, expected 24 (set it to sizeof(*options))",
                  nf4j_device_open(&options.known, &device));
    options.known.struct_size = 0xcccccccc;
    CHECK_REFUSED("device_open: options.struct_size is 3435973836, expected 24 (set it to sizeof(*options))",
                  nf4j_device_open(&options.known, &device));
}

static void test_lifetimes(int32_t backend) {
    nf4j_device *device = open_device(backend);
    nf4j_device_info info = {.struct_size = sizeof info};
    CHECK_OK(nf4j_device_get_info(device, &info));
    CHECK(info.backend == backend && info.host_accessible == 1 && info.threads >= 1, "backend %d, threads %d",
          info.backend, info.threads);
    CHECK(info.total_memory > 0 && info.free_memory > 0 && info.free_memory <= info.total_memory, "memory %lld of %lld",
          (long long)info.free_memory, (long long)info.total_memory);
    CHECK(strlen(info.name) > 0, "the device has no name");
    info.struct_size = 8;
    CHECK_REFUSED("device_get_info: info.struct_size is 8, expected at least 104", nf4j_device_get_info(device, &info));

    nf4j_stream *stream = NULL;
    nf4j_stream_options options = {.struct_size = sizeof options, .native_stream = &options};
    CHECK(nf4j_stream_create(device, &options, &stream) == NF4J_INVALID_ARGUMENT, "a foreign stream on a host backend");
    options.native_stream = NULL;
    options.workspace_bytes = -1;
    CHECK_REFUSED("stream_create: options.workspace_bytes is -1, expected at least 0",
                  nf4j_stream_create(device, &options, &stream));
    options.workspace_bytes = 1 << 20;
    CHECK_REFUSED("stream_create: device is null", nf4j_stream_create(NULL, &options, &stream));
    CHECK_OK(nf4j_stream_create(device, &options, &stream));
    CHECK_REFUSED("device_close: 1 of the device's streams must be destroyed first", nf4j_device_close(device));
    CHECK_OK(nf4j_stream_synchronize(stream));

    char text[256];
    CHECK_OK(nf4j_explain(stream, NF4J_OP_NF4_MATMUL, 8, 64, 64, NF4J_F32, text, sizeof text));
    CHECK(strlen(text) > 0, "explain says nothing");
    CHECK_REFUSED("explain: operation is 99, expected one of nf4j_operation (1 ... 15)",
                  nf4j_explain(stream, 99, 8, 64, 64, NF4J_F32, text, sizeof text));
    CHECK_REFUSED("explain: dtype is 0x0020, expected F32 or BF16",
                  nf4j_explain(stream, NF4J_OP_NF4_MATMUL, 8, 64, 64, NF4J_I32, text, sizeof text));
    CHECK_OK(nf4j_stream_destroy(stream));

    void *data = &data;
    CHECK_OK(nf4j_memory_alloc(device, 0, &data));
    CHECK(data == NULL, "0 bytes are at %p", data);
    CHECK_OK(nf4j_memory_alloc(device, 100, &data));
    CHECK((uintptr_t)data % 64 == 0, "memory at %p", data);
    CHECK_OK(nf4j_memory_free(device, data));
    CHECK_OK(nf4j_memory_free(device, NULL));
    CHECK_REFUSED("memory_alloc: bytes is -1, expected at least 0", nf4j_memory_alloc(device, -1, &data));
    CHECK(nf4j_memory_alloc(device, INT64_MAX - 4096, &data) == NF4J_OUT_OF_MEMORY, "9 EB were allocated");
    CHECK_OK(nf4j_device_close(device));
    CHECK_OK(nf4j_device_close(NULL));
    CHECK_OK(nf4j_stream_destroy(NULL));
}

static void *fail_on_another_thread(void *first_text) {
    CHECK(strcmp(nf4j_last_error(), "") == 0, "a new thread begins with the text \"%s\"", nf4j_last_error());
    CHECK(nf4j_stream_synchronize(NULL) == NF4J_INVALID_ARGUMENT, "null was accepted");
    CHECK(strcmp(nf4j_last_error(), "stream_synchronize: stream is null") == 0, "%s", nf4j_last_error());
    CHECK(nf4j_last_error() != (const char *)first_text, "threads share a text");
    return NULL;
}

static void test_errors_of_threads(void) {
    CHECK_REFUSED("device_open: options is null", nf4j_device_open(NULL, NULL));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fail_on_another_thread, (void *)(uintptr_t)nf4j_last_error()) == 0,
          "no thread");
    pthread_join(thread, NULL);
    CHECK(strcmp(nf4j_last_error(), "device_open: options is null") == 0, "now %s", nf4j_last_error());
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--layout") == 0) { /* for abi.sh */
        fputs(nf4j_abi_layout(), stdout);
        return 0;
    }
    test_versions();
    test_layout();
    test_backends();
    test_device_options();
    test_struct_sizes();
    test_lifetimes(NF4J_BACKEND_REFERENCE);
    test_lifetimes(NF4J_BACKEND_CPU);
    test_errors_of_threads();
    return test_result("abi_test");
}
