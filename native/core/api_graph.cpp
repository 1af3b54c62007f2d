// Graphs: what is captured on a stream, to be launched again and again.
#include "core/check.h"

#include <new>

using namespace nf4j;

struct nf4j_graph {
    nf4j_stream *stream;
    void *impl;  // the backend's own
};

int32_t nf4j_graph_begin(nf4j_stream *stream) {
    const Check check("graph_begin");
    if (!check.stream(stream)) return NF4J_INVALID_ARGUMENT;
    const Backend &backend = *stream->device->backend;
    if (!backend.graph_begin) {
        return fail(
            NF4J_UNSUPPORTED,
            "graph_begin: the %s backend has no graphs: its calls are over when they return, so that making them "
            "again costs no more than a launch",
            backend.name);
    }
    if (stream->capturing) {
        check.refuse("the stream is captured already; nf4j_graph_end ends that");
        return NF4J_INVALID_ARGUMENT;
    }
    const int32_t status = check.run(&Backend::graph_begin, stream);
    if (status != NF4J_OK) return status;
    stream->capturing = true;
    stream->capture_status = NF4J_OK;
    stream->device->captures++;
    return NF4J_OK;
}

int32_t nf4j_graph_end(nf4j_stream *stream, nf4j_graph **graph) {
    const Check check("graph_end");
    if (!check.stream(stream) || !check.not_null("graph", graph)) return NF4J_INVALID_ARGUMENT;
    if (!stream->capturing) {
        check.refuse("the stream is not captured; nf4j_graph_begin begins that");
        return NF4J_INVALID_ARGUMENT;
    }
    stream->capturing = false;
    stream->device->captures--;
    void *impl = nullptr;
    int32_t status = check.run(&Backend::graph_end, stream, &impl);
    if (status == NF4J_OK && stream->capture_status != NF4J_OK) {
        status = fail(stream->capture_status,
                      "graph_end: a call failed with status %d while the stream was captured, so there is no graph",
                      stream->capture_status);
    }
    auto *created = status == NF4J_OK ? new (std::nothrow) nf4j_graph{stream, impl} : nullptr;
    if (!created) {
        if (impl) stream->device->backend->graph_destroy(impl);
        return status != NF4J_OK ? status : fail(NF4J_OUT_OF_MEMORY, "graph_end: no memory");
    }
    stream->graphs++;
    *graph = created;
    return NF4J_OK;
}

int32_t nf4j_graph_launch(nf4j_graph *graph) {
    const Check check("graph_launch");
    if (!check.not_null("graph", graph)) return NF4J_INVALID_ARGUMENT;
    return check.run_at_once(&Backend::graph_launch, graph->stream, graph->impl);
}

int32_t nf4j_graph_destroy(nf4j_graph *graph) {
    if (!graph) return NF4J_OK;
    graph->stream->device->backend->graph_destroy(graph->impl);
    graph->stream->graphs--;
    delete graph;
    return NF4J_OK;
}
