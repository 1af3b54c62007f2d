// On simt: a device that is lost, where every later call says so, freeing and closing still work, and other devices go on; and
// graphs of which a step fails.
#include "interpose.h"
#include "nf4j.h"

#include <cstdio>
#include <cstring>

namespace {

int checks = 0, failures = 0;

void check(bool ok, const char *what) {
    checks++;
    if (ok) return;
    failures++;
    std::fprintf(stderr, "FAILED: %s: %s\n", what, nf4j_last_error());
}

struct Opened {
    nf4j_device *device = nullptr;
    nf4j_stream *stream = nullptr;
    void *memory = nullptr;
    nf4j_tensor tensor = {};

    Opened() {
        const nf4j_device_options options = {sizeof options, NF4J_BACKEND_SIMT, 0, 0, NF4J_ISA_AUTO, 0};
        const nf4j_stream_options stream_options = {sizeof stream_options, 0, nullptr, 1 << 16};
        check(nf4j_device_open(&options, &device) == NF4J_OK, "device_open");
        check(nf4j_stream_create(device, &stream_options, &stream) == NF4J_OK, "stream_create");
        check(nf4j_memory_alloc(device, 64, &memory) == NF4J_OK, "memory_alloc");
        tensor = {memory, 4, 4, 4, NF4J_F32, 0};
    }
    int32_t fill() const { return nf4j_memory_fill(stream, 1, &tensor); }
    void close() const {
        check(nf4j_memory_free(device, memory) == NF4J_OK, "memory_free");
        check(nf4j_stream_destroy(stream) == NF4J_OK, "stream_destroy");
        check(nf4j_device_close(device) == NF4J_OK, "device_close");
    }
};

void lost(int32_t status, const char *what) {
    check(status == NF4J_DEVICE_LOST && std::strstr(nf4j_last_error(), "lost"), what);
}

// The driver says it once, in whichever call; nobody asks it again.
void every_later_call_says_so(const char *what, int32_t (*first)(const Opened &)) {
    const Opened opened, other;
    nf4j_fault_driver_at(1, NF4J_DEVICE_LOST);
    lost(first(opened), what);

    lost(opened.fill(), "memory_fill");
    lost(nf4j_memory_add(opened.stream, &opened.tensor, &opened.tensor, &opened.tensor), "memory_add");
    lost(nf4j_stream_synchronize(opened.stream), "stream_synchronize");
    char text[64];
    lost(nf4j_explain(opened.stream, NF4J_OP_NORM, 1, 1, 1, NF4J_F32, text, sizeof text), "explain");
    nf4j_stream *stream = nullptr;
    lost(nf4j_stream_create(opened.device, nullptr, &stream), "stream_create");
    void *memory = nullptr;
    lost(nf4j_memory_alloc(opened.device, 64, &memory), "memory_alloc");
    lost(nf4j_memory_alloc_paged(opened.device, 64, &memory), "memory_alloc_paged");
    lost(nf4j_memory_prefetch(opened.stream, opened.memory, 64), "memory_prefetch");
    check(!stream && !memory, "something was made on a lost device");
    nf4j_device_info info = {};
    info.struct_size = sizeof info;
    lost(nf4j_device_get_info(opened.device, &info), "device_get_info");
    check(nf4j_memory_fill(opened.stream, 1, nullptr) == NF4J_INVALID_ARGUMENT, "arguments are checked first");
    check(nf4j_fault_driver_calls() == 1, "the driver was asked again");

    check(other.fill() == NF4J_OK, "another device");
    other.close();
    opened.close();
}

// The call says it, and the stream goes on.
void a_graph_fails() {
    const Opened o;
    nf4j_graph *graph = nullptr;
    const auto refused_at = [](int step, int32_t (*call)(const Opened &, nf4j_graph **), const Opened &on,
                               nf4j_graph **of, const char *what) {
        nf4j_fault_driver_at(step, NF4J_BACKEND_UNAVAILABLE);
        check(call(on, of) == NF4J_BACKEND_UNAVAILABLE && std::strstr(nf4j_last_error(), what), what);
        nf4j_fault_driver_at(0, NF4J_OK);
        check(on.fill() == NF4J_OK, "memory_fill");
    };
    const auto begin = [](const Opened &on, nf4j_graph **) { return nf4j_graph_begin(on.stream); };
    const auto end = [](const Opened &on, nf4j_graph **of) { return nf4j_graph_end(on.stream, of); };
    const auto launch = [](const Opened &, nf4j_graph **of) { return nf4j_graph_launch(*of); };

    refused_at(1, begin, o, &graph, "graph_begin");
    check(begin(o, &graph) == NF4J_OK && o.fill() == NF4J_OK, "a capture");
    refused_at(1, end, o, &graph, "graph_end");
    check(!graph, "a capture that failed gave a graph");
    check(begin(o, &graph) == NF4J_OK && o.fill() == NF4J_OK && end(o, &graph) == NF4J_OK, "the next capture");
    refused_at(1, launch, o, &graph, "graph_launch");
    refused_at(2, launch, o, &graph, "memory_fill");
    check(launch(o, &graph) == NF4J_OK, "graph_launch");

    // Nor is anything left of a capture on a device that is lost, or of a graph.
    check(begin(o, nullptr) == NF4J_OK && o.fill() == NF4J_OK, "a capture");
    const Opened other;
    nf4j_graph *none = nullptr;
    check(begin(other, nullptr) == NF4J_OK && other.fill() == NF4J_OK, "a capture");
    nf4j_fault_driver_at(1, NF4J_DEVICE_LOST);
    lost(end(other, &none), "graph_end");
    check(end(o, &none) == NF4J_OK, "graph_end on another device");
    nf4j_fault_driver_at(1, NF4J_DEVICE_LOST);
    lost(launch(o, &graph), "graph_launch");
    lost(launch(o, &graph), "graph_launch");
    lost(begin(o, nullptr), "graph_begin");
    check(nf4j_graph_destroy(graph) == NF4J_OK && nf4j_graph_destroy(none) == NF4J_OK, "graph_destroy");
    other.close();
    o.close();
}

}  // namespace

int main() {
    {
        const Opened warm_up;
        check(warm_up.fill() == NF4J_OK, "memory_fill");
        warm_up.close();
    }
    const int64_t before = nf4j_fault_live();
    every_later_call_says_so("a launch", [](const Opened &o) { return o.fill(); });
    every_later_call_says_so("a wait", [](const Opened &o) { return nf4j_stream_synchronize(o.stream); });
    every_later_call_says_so("a copy", [](const Opened &o) {
        float host[16] = {};
        const nf4j_tensor source = {host, 4, 4, 4, NF4J_F32, 0};
        return nf4j_memory_copy(o.stream, &source, &o.tensor);
    });
    a_graph_fails();
    check(nf4j_fault_live() == before, "memory is lost");
    std::printf("lost_device_test: %d checks, %d failures\n", checks, failures);
    return failures > 0;
}
