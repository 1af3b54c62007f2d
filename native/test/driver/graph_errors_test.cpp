// What the cuda backend makes of captures that the runtime refuses: its objects, linked with a runtime whose graphs fail as they are
// told (the linker's --wrap).
#include "../simt/simt_support.h"
#include "cuda/gpu.h"

#include <cstring>

using namespace nf4j;
using namespace nf4j::test;

namespace {

// What the runtime says, and what it has given away.
struct Runtime {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    cudaError_t begin = cudaSuccess, end = cudaSuccess, instantiate = cudaSuccess, launch = cudaSuccess;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    int graphs = 0, executables = 0, launches = 0;
} runtime;

}  // namespace

extern "C" {

cudaError_t __wrap_cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus *status) {
    *status = runtime.capturing;
    return cudaSuccess;
}

cudaError_t __wrap_cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode mode) {
    runtime.mode = mode;
    return runtime.begin;
}

cudaError_t __wrap_cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
    *graph = runtime.end == cudaSuccess ? reinterpret_cast<cudaGraph_t>(&runtime) : nullptr;
    runtime.graphs += *graph != nullptr;
    return runtime.end;
}

cudaError_t __wrap_cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t, unsigned long long) {
    if (runtime.instantiate == cudaSuccess) *executable = reinterpret_cast<cudaGraphExec_t>(&runtime);
    runtime.executables += runtime.instantiate == cudaSuccess;
    return runtime.instantiate;
}

cudaError_t __wrap_cudaGraphDestroy(cudaGraph_t) {
    runtime.graphs--;
    return cudaSuccess;
}

cudaError_t __wrap_cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
    runtime.launches++;
    return runtime.launch;
}

cudaError_t __wrap_cudaGraphExecDestroy(cudaGraphExec_t) {
    runtime.executables--;
    return cudaSuccess;
}
}

namespace {

void expect(int32_t status, int32_t wanted, const char *words) {
    check(status == wanted && std::strstr(last_report.c_str(), words), "status %d, expected %d and \"%s\": %s", status,
          wanted, words, last_report.c_str());
}

void test_begin(const Backend &ops, nf4j_stream *stream) {
    runtime = {};
    check(ops.graph_begin(stream) == NF4J_OK, "graph_begin: %s", last_report.c_str());
    check(runtime.mode == cudaStreamCaptureModeRelaxed, "the mode is %d", runtime.mode);
    runtime = {};
    runtime.begin = cudaErrorStreamCaptureUnsupported;
    expect(ops.graph_begin(stream), NF4J_UNSUPPORTED, "cuda: graph_begin: not while the stream is captured");
    runtime = {};
    runtime.capturing = cudaStreamCaptureStatusActive;
    expect(ops.graph_begin(stream), NF4J_UNSUPPORTED, "cuda: graph_begin: the stream's owner is capturing it");
    check(runtime.mode == cudaStreamCaptureModeGlobal, "a stream that is captured was captured again");
}

// However it ends, nothing is left of it but what the caller got.
void test_end(const Backend &ops, nf4j_stream *stream) {
    const struct {
        cudaError_t end, instantiate;
        int32_t status;
        const char *words;
    } cases[] = {
        {cudaErrorStreamCaptureInvalidated, cudaSuccess, NF4J_UNSUPPORTED, "meanwhile cannot be captured"},
        {cudaErrorStreamCaptureUnjoined, cudaSuccess, NF4J_UNSUPPORTED, "meanwhile cannot be captured"},
        {cudaErrorStreamCaptureWrongThread, cudaSuccess, NF4J_UNSUPPORTED, "meanwhile cannot be captured"},
        {cudaErrorIllegalAddress, cudaSuccess, NF4J_DEVICE_LOST, "graph_end: the device is lost"},
        {cudaErrorUnknown, cudaSuccess, NF4J_INTERNAL, "graph_end: unknown error"},
        {cudaSuccess, cudaErrorMemoryAllocation, NF4J_OUT_OF_MEMORY, "graph_end: out of memory"},
        {cudaSuccess, cudaErrorNoKernelImageForDevice, NF4J_BACKEND_UNAVAILABLE, "no code for the device"},
    };
    for (const auto &c : cases) {
        runtime = {};
        runtime.end = c.end;
        runtime.instantiate = c.instantiate;
        void *graph = nullptr;
        expect(ops.graph_end(stream, &graph), c.status, c.words);
        check(!graph && runtime.graphs == 0 && runtime.executables == 0, "%s: %d graphs and %d executables are left",
              c.words, runtime.graphs, runtime.executables);
    }
}

void test_launch(const Backend &ops, nf4j_stream *stream) {
    runtime = {};
    void *graph = nullptr;
    check(ops.graph_end(stream, &graph) == NF4J_OK && graph, "graph_end: %s", last_report.c_str());
    check(runtime.graphs == 0 && runtime.executables == 1, "%d graphs and %d executables are left", runtime.graphs,
          runtime.executables);
    check(ops.graph_launch(stream, graph) == NF4J_OK && runtime.launches == 1, "graph_launch: %s", last_report.c_str());
    runtime.launch = cudaErrorLaunchFailure;
    expect(ops.graph_launch(stream, graph), NF4J_DEVICE_LOST, "cuda: graph_launch: the device is lost");
    ops.graph_destroy(graph);
    check(runtime.executables == 0, "graph_destroy left the graph");
}

}  // namespace

int main() {
    static const CoreServices services = {sizeof(Backend), keep_report};
    const Backend *ops = nf4j_backend_entry(&services);
    if (!check(ops != nullptr, "another table")) return finish("graph_errors_test");
    cuda::GpuStream gpu_stream;
    nf4j_stream stream = {};
    stream.impl = &gpu_stream;
    test_begin(*ops, &stream);
    test_end(*ops, &stream);
    test_launch(*ops, &stream);
    return finish("graph_errors_test");
}
