// Graphs through nf4j.h alone: graph_test [reference|cpu|simt|cuda].
#include "support.h"

#include <cstring>

using namespace nf4j::test;

namespace {

void expect(int32_t status, int32_t wanted, const char *words) {
    check(status == wanted && std::strstr(nf4j_last_error(), words), "status %d, expected %d and \"%s\": %s", status,
          wanted, words, nf4j_last_error());
}

// A vector of four floats in device memory.
class Four {
public:
    Four(const Device &on, double value) : on_(on) {
        must(nf4j_memory_alloc(on.device, 16, &tensor.data), "memory_alloc");
        fill(value);
    }
    ~Four() { nf4j_memory_free(on_.device, tensor.data); }
    Four(const Four &) = delete;
    Four &operator=(const Four &) = delete;

    void fill(double value) const { must(nf4j_memory_fill(on_.stream, value, &tensor), "memory_fill"); }
    float last() const {
        float host[4];
        const nf4j_tensor to = {host, 1, 4, 4, NF4J_F32, 0};
        must(nf4j_memory_copy(on_.stream, &tensor, &to), "memory_copy");
        must(nf4j_stream_synchronize(on_.stream), "stream_synchronize");
        return host[3];
    }

    nf4j_tensor tensor = {nullptr, 1, 4, 4, NF4J_F32, 0};

private:
    const Device &on_;
};

int32_t add(nf4j_stream *stream, const Four &x, const Four &y) {
    return nf4j_memory_add(stream, &y.tensor, &x.tensor, &y.tensor);
}

// What is captured runs with each launch, and with what is in memory then.
void test_launches(const Device &on) {
    const Four x(on, 1), y(on, 0);
    nf4j_graph *graph = nullptr;
    must(nf4j_graph_begin(on.stream), "graph_begin");
    must(add(on.stream, x, y), "memory_add");
    must(add(on.stream, x, y), "memory_add");
    must(nf4j_graph_end(on.stream, &graph), "graph_end");
    check(y.last() == 0, "a call ran while it was captured");
    for (int launch = 0; launch < 3; launch++) must(nf4j_graph_launch(graph), "graph_launch");
    check(y.last() == 6, "three launches of two additions gave %g", static_cast<double>(y.last()));
    x.fill(10);
    must(nf4j_graph_launch(graph), "graph_launch");
    check(y.last() == 26, "with another x it is %g", static_cast<double>(y.last()));
    must(nf4j_graph_destroy(graph), "graph_destroy");
}

// Nothing is known of the data while a call is captured: here no id is in the table then.
void test_data_that_comes_later(const Device &on) {
    const Four numbers(on, 0), table(on, 5), y(on, 0);
    nf4j_tensor ids = numbers.tensor, column = {table.tensor.data, 4, 1, 1, NF4J_F32, 0}, rows = column;
    ids.dtype = NF4J_I32;
    rows.data = y.tensor.data;
    must(nf4j_memory_fill(on.stream, -1, &ids), "memory_fill");
    nf4j_graph *graph = nullptr;
    must(nf4j_graph_begin(on.stream), "graph_begin");
    must(nf4j_embedding_forward(on.stream, &ids, &column, &rows), "embedding_forward");
    must(nf4j_graph_end(on.stream, &graph), "graph_end");
    must(nf4j_memory_fill(on.stream, 3, &ids), "memory_fill");
    must(nf4j_graph_launch(graph), "graph_launch");
    check(y.last() == 5, "row 3 is %g", static_cast<double>(y.last()));
    must(nf4j_graph_destroy(graph), "graph_destroy");
}

// What a capture refuses, and goes on.
void test_captured_stream(const Device &on, const Device &other) {
    nf4j_stream *beside = nullptr;
    must(nf4j_stream_create(on.device, nullptr, &beside), "stream_create");
    const Four x(on, 1), y(on, 0), z(on, 0);
    nf4j_nf4_weight weight = {};
    weight.struct_size = sizeof weight;
    weight.rows = 2;
    weight.cols = weight.block_size = 64;
    must(nf4j_nf4_weight_bytes(on.device, 2, 64, 64, 0, &weight.bytes), "nf4_weight_bytes");
    must(nf4j_memory_alloc(on.device, weight.bytes, &weight.data), "memory_alloc");
    uint8_t codes[64] = {};
    float absmax[2] = {}, map[16] = {};
    nf4j_nf4_state state = {};
    state.struct_size = sizeof state;
    state.rows = 2;
    state.cols = state.block_size = 64;
    state.codes = codes;
    state.absmax = absmax;
    state.quant_map = map;

    nf4j_graph *graph = nullptr, *inner = nullptr;
    must(nf4j_stream_synchronize(on.stream), "stream_synchronize");  // beside will use what is filled here
    expect(nf4j_graph_end(on.stream, &graph), NF4J_INVALID_ARGUMENT, "graph_end: the stream is not captured");
    must(nf4j_graph_begin(on.stream), "graph_begin");
    must(nf4j_graph_end(on.stream, &inner), "graph_end");  // of no calls
    must(nf4j_graph_begin(on.stream), "graph_begin");
    expect(nf4j_graph_begin(on.stream), NF4J_INVALID_ARGUMENT, "graph_begin: the stream is captured already");
    expect(nf4j_graph_end(on.stream, nullptr), NF4J_INVALID_ARGUMENT, "graph_end: graph is null");
    void *memory = nullptr;
    nf4j_stream *stream = nullptr;
    const char *words = "not while a stream of the device is captured";
    expect(nf4j_memory_alloc(on.device, 64, &memory), NF4J_UNSUPPORTED, words);
    expect(nf4j_memory_alloc_paged(on.device, 64, &memory), NF4J_UNSUPPORTED, words);
    expect(nf4j_stream_create(on.device, nullptr, &stream), NF4J_UNSUPPORTED, words);
    check(!memory && !stream, "what was refused has been made");
    words = "not while the stream is captured";
    expect(nf4j_stream_synchronize(on.stream), NF4J_UNSUPPORTED, words);
    expect(nf4j_graph_launch(inner), NF4J_UNSUPPORTED, words);
    expect(nf4j_nf4_import(on.stream, &state, &weight), NF4J_UNSUPPORTED, words);
    expect(nf4j_nf4_export(on.stream, &weight, &state), NF4J_UNSUPPORTED, words);
    expect(nf4j_memory_add(on.stream, nullptr, &x.tensor, &y.tensor), NF4J_INVALID_ARGUMENT, "a is null");
    must(add(on.stream, x, y), "memory_add");
    // Other streams and other devices are as ever.
    must(add(beside, x, z), "memory_add on another stream");
    must(nf4j_stream_synchronize(beside), "stream_synchronize");
    must(nf4j_memory_alloc(other.device, 64, &memory), "memory_alloc on another device");
    must(nf4j_memory_free(other.device, memory), "memory_free");
    must(nf4j_graph_end(on.stream, &graph), "graph_end");

    must(nf4j_graph_launch(graph), "graph_launch");
    must(nf4j_graph_launch(graph), "graph_launch");
    check(y.last() == 2 && z.last() == 1, "y is %g, z is %g", static_cast<double>(y.last()),
          static_cast<double>(z.last()));
    must(nf4j_graph_destroy(inner), "graph_destroy");
    must(nf4j_graph_destroy(graph), "graph_destroy");
    must(nf4j_memory_free(on.device, weight.data), "memory_free");
    must(nf4j_stream_destroy(beside), "stream_destroy");
}

// A call that fails on its way spoils the graph, not the stream.
void test_spoiled_capture(const Device &on) {
    constexpr int64_t n = 300000;
    nf4j_stream_options options = {};
    options.struct_size = sizeof options;
    options.workspace_bytes = 256;
    nf4j_stream *stream = nullptr;
    must(nf4j_stream_create(on.device, &options, &stream), "stream_create");
    const Four x(on, 1), y(on, 0);
    const nf4j_tensor norm = {y.tensor.data, 1, 2, 2, NF4J_F32, 0};
    void *grad = nullptr;
    must(nf4j_memory_alloc(on.device, n * 4, &grad), "memory_alloc");
    must(nf4j_stream_synchronize(on.stream), "stream_synchronize");
    const nf4j_adamw_parameter parameter = {nullptr, static_cast<float *>(grad), nullptr, nullptr, nullptr, n};
    nf4j_graph *graph = nullptr;
    must(nf4j_graph_begin(stream), "graph_begin");
    must(add(stream, x, y), "memory_add");
    expect(nf4j_optim_global_norm(stream, &parameter, 1, 1, &norm), NF4J_OUT_OF_MEMORY, "workspace");
    must(add(stream, x, y), "memory_add");
    expect(nf4j_graph_end(stream, &graph), NF4J_OUT_OF_MEMORY,
           "a call failed with status 2 while the stream was captured");
    check(!graph, "there is a graph of it");

    must(nf4j_graph_begin(stream), "graph_begin");
    must(add(stream, x, y), "memory_add");
    must(nf4j_graph_end(stream, &graph), "graph_end");
    must(nf4j_graph_launch(graph), "graph_launch");
    must(nf4j_stream_synchronize(stream), "stream_synchronize");
    check(y.last() == 1, "the next graph gave %g", static_cast<double>(y.last()));
    expect(nf4j_stream_destroy(stream), NF4J_INVALID_ARGUMENT, "1 of the stream's graphs must be destroyed first");
    must(nf4j_graph_destroy(graph), "graph_destroy");
    // Destroyed in the midst of a capture, the stream leaves the device free.
    must(nf4j_graph_begin(stream), "graph_begin");
    must(add(stream, x, y), "memory_add");
    must(nf4j_stream_destroy(stream), "stream_destroy");
    must(nf4j_memory_free(on.device, grad), "memory_free");
    must(nf4j_memory_alloc(on.device, 64, &grad), "memory_alloc");
    must(nf4j_memory_free(on.device, grad), "memory_free");
}

void run(int32_t backend) {
    const Device on(backend, NF4J_ISA_AUTO, 0);
    check(on.open(), "device_open: %s", nf4j_last_error());
    expect(nf4j_graph_begin(nullptr), NF4J_INVALID_ARGUMENT, "graph_begin: stream is null");
    expect(nf4j_graph_launch(nullptr), NF4J_INVALID_ARGUMENT, "graph_launch: graph is null");
    must(nf4j_graph_destroy(nullptr), "graph_destroy");
    if (backend == NF4J_BACKEND_REFERENCE || backend == NF4J_BACKEND_CPU) {
        expect(nf4j_graph_begin(on.stream), NF4J_UNSUPPORTED, "has no graphs: its calls are over when they return");
        return;
    }
    test_launches(on);
    test_data_that_comes_later(on);
    test_captured_stream(on, Device(backend, NF4J_ISA_AUTO, 0));
    test_spoiled_capture(on);
}

}  // namespace

int main(int count, char **arguments) { return test_backends("graph_test", count, arguments, run); }
