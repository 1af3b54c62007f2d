// Devices, streams and device memory.
#include "core/check.h"
#include "core/loader.h"

#include <algorithm>
#include <cstdio>
#include <new>

using namespace nf4j;

namespace {

constexpr int64_t default_workspace_bytes = int64_t{64} << 20;

// The table for these options, or null with the reason in text[capacity].
const Backend *find_backend(const nf4j_device_options *options, char *text, int64_t capacity) {
    switch (options->backend) {
        case NF4J_BACKEND_REFERENCE: return reference_backend();
        case NF4J_BACKEND_CPU: {
            const Backend *backend = cpu_backend(options->isa);
            if (!backend) {
                const int used =
                    std::snprintf(text, static_cast<size_t>(capacity), "isa %d is not available here:\n", options->isa);
                cpu_backend(NF4J_ISA_GENERIC)->probe(text + used, capacity - used);
            }
            return backend;
        }
        default: return load_backend(options->backend, text, capacity);
    }
}

int32_t open_backend(const nf4j_device_options *options, nf4j_device **device) {
    char reason[768] = "";
    const Backend *backend = find_backend(options, reason, sizeof reason);
    if (!backend) return fail(NF4J_BACKEND_UNAVAILABLE, "device_open: %s", reason);
    auto *opened = new (std::nothrow) nf4j_device{};
    if (!opened) return fail(NF4J_OUT_OF_MEMORY, "device_open: no memory");
    opened->backend = backend;
    opened->info.struct_size = sizeof(nf4j_device_info);
    opened->info.backend = backend->id;
    opened->info.ordinal = options->ordinal;
    const int32_t status = backend->open(options, opened);
    if (status != NF4J_OK) {
        delete opened;
        return status;
    }
    *device = opened;
    return NF4J_OK;
}

// A lost device has taken its memory with it: there is nothing to complain of.
int32_t free_memory(nf4j_device *device, void *data) {
    const int32_t status = device->backend->free(device, data);
    if (status == NF4J_DEVICE_LOST) device->lost = true;
    return device->lost ? NF4J_OK : status;
}

// Memory of one of the backend's kinds.
int32_t allocate(const Check &check, nf4j_device *device, decltype(Backend::alloc) Backend::*kind, int64_t bytes,
                 void **data) {
    if (device->captures > 0) return check.refuse_captured("a stream of the device");
    return check.call(kind, device, device, bytes, data);
}

// Whether there can be a matrix of these sizes, of which 0 is one that is not given.
bool fits_memory(int64_t rows, int64_t cols) {
    int64_t bytes;
    return !__builtin_mul_overflow(std::max<int64_t>(rows, 1), std::max<int64_t>(cols, 1), &bytes) &&
           !__builtin_mul_overflow(bytes, 8, &bytes);
}

bool is_host(int32_t backend) { return backend != NF4J_BACKEND_CUDA; }

}  // namespace

int32_t nf4j_device_open(const nf4j_device_options *options, nf4j_device **device) {
    const Check check("device_open");
    if (!check.options("options", options) || !check.not_null("device", device) ||
        !check.zero("options.reserved", options->reserved) || !check.at_least("options.ordinal", options->ordinal, 0) ||
        !check.at_least("options.threads", options->threads, 0)) {
        return NF4J_INVALID_ARGUMENT;
    }
    if (options->backend < NF4J_BACKEND_AUTO || options->backend > NF4J_BACKEND_SIMT) {
        check.refuse("options.backend is %d, expected one of nf4j_backend (0 ... 4)", options->backend);
        return NF4J_INVALID_ARGUMENT;
    }
    if (options->isa < NF4J_ISA_AUTO || options->isa > NF4J_ISA_AMX_BF16) {
        check.refuse("options.isa is %d, expected one of nf4j_isa (0 ... 6)", options->isa);
        return NF4J_INVALID_ARGUMENT;
    }
    nf4j_device_options chosen = *options;
    if (options->backend == NF4J_BACKEND_AUTO) {
        chosen.backend = NF4J_BACKEND_CUDA;
        if (open_backend(&chosen, device) == NF4J_OK) return NF4J_OK;
        chosen.backend = NF4J_BACKEND_CPU;
    }
    if (is_host(chosen.backend) && chosen.backend != NF4J_BACKEND_SIMT && options->ordinal != 0) {
        check.refuse("options.ordinal is %d, expected 0: a host backend has one device", options->ordinal);
        return NF4J_INVALID_ARGUMENT;
    }
    if (chosen.backend != NF4J_BACKEND_CPU && options->isa != NF4J_ISA_AUTO) {
        check.refuse("options.isa is %d, expected 0: only the cpu backend has instruction sets to choose from",
                     options->isa);
        return NF4J_INVALID_ARGUMENT;
    }
    return open_backend(&chosen, device);
}

int32_t nf4j_device_close(nf4j_device *device) {
    if (!device) return NF4J_OK;
    const int streams = device->streams.load();
    if (streams > 0) {
        return fail(NF4J_INVALID_ARGUMENT, "device_close: %d of the device's streams must be destroyed first", streams);
    }
    device->backend->close(device);
    delete device;
    return NF4J_OK;
}

int32_t nf4j_device_get_info(const nf4j_device *device, nf4j_device_info *info) {
    const Check check("device_get_info");
    if (!check.not_null("device", device) || !check.not_null("info", info) ||
        !check.at_least("info.struct_size", info->struct_size, sizeof(nf4j_device_info))) {
        return NF4J_INVALID_ARGUMENT;
    }
    nf4j_device_info current = device->info;
    const int32_t status = check.call(&Backend::refresh_info, device, device, &current);
    if (status != NF4J_OK) return status;
    current.struct_size = info->struct_size;
    *info = current;
    return NF4J_OK;
}

int32_t nf4j_backend_probe(int32_t backend, char *text, int64_t capacity) {
    const Check check("backend_probe");
    if (!check.text(text, capacity)) return NF4J_INVALID_ARGUMENT;
    if (backend < NF4J_BACKEND_REFERENCE || backend > NF4J_BACKEND_SIMT) {
        check.refuse("backend is %d, expected a backend's own number (1 ... 4)", backend);
        return NF4J_INVALID_ARGUMENT;
    }
    nf4j_device_options options = {};
    options.backend = backend;
    text[0] = 0;
    const Backend *found = find_backend(&options, text, capacity);
    return found ? found->probe(text, capacity) : NF4J_OK;
}

int32_t nf4j_stream_create(nf4j_device *device, const nf4j_stream_options *options, nf4j_stream **stream) {
    const Check check("stream_create");
    if (!check.not_null("device", device) || !check.not_null("stream", stream)) return NF4J_INVALID_ARGUMENT;
    if (options && (!check.options("options", options) || !check.zero("options.reserved", options->reserved) ||
                    !check.at_least("options.workspace_bytes", options->workspace_bytes, 0))) {
        return NF4J_INVALID_ARGUMENT;
    }
    if (options && options->native_stream && is_host(device->backend->id)) {
        check.refuse("options.native_stream is given, expected null on the %s backend", device->backend->name);
        return NF4J_INVALID_ARGUMENT;
    }
    auto *created = new (std::nothrow) nf4j_stream{};
    if (!created) return fail(NF4J_OUT_OF_MEMORY, "stream_create: no memory");
    created->device = device;
    created->native_stream = options ? options->native_stream : nullptr;
    created->workspace_bytes =
        options && options->workspace_bytes > 0 ? options->workspace_bytes : default_workspace_bytes;
    void *workspace = nullptr;
    int32_t status = allocate(check, device, &Backend::alloc, created->workspace_bytes, &workspace);
    created->workspace = static_cast<char *>(workspace);
    if (status == NF4J_OK) {
        status = check.call(&Backend::stream_create, device, created);
        if (status != NF4J_OK) device->backend->free(device, workspace);
    }
    if (status != NF4J_OK) {
        delete created;
        return status;
    }
    device->streams++;
    *stream = created;
    return NF4J_OK;
}

int32_t nf4j_stream_destroy(nf4j_stream *stream) {
    if (!stream) return NF4J_OK;
    const int graphs = stream->graphs.load();
    if (graphs > 0) {
        return fail(NF4J_INVALID_ARGUMENT, "stream_destroy: %d of the stream's graphs must be destroyed first", graphs);
    }
    if (stream->capturing) {
        nf4j_graph *unfinished = nullptr;
        nf4j_graph_end(stream, &unfinished);
        nf4j_graph_destroy(unfinished);
    }
    nf4j_device *device = stream->device;
    device->backend->stream_destroy(stream);
    const int32_t status = free_memory(device, stream->workspace);
    device->streams--;
    delete stream;
    return status;
}

int32_t nf4j_stream_synchronize(nf4j_stream *stream) {
    const Check check("stream_synchronize");
    if (!check.stream(stream)) return NF4J_INVALID_ARGUMENT;
    return check.run_at_once(&Backend::stream_synchronize, stream);
}

int32_t nf4j_explain(nf4j_stream *stream, int32_t operation, int64_t m, int64_t n, int64_t k, int32_t dtype, char *text,
                     int64_t capacity) {
    const Check check("explain");
    if (!check.stream(stream) || !check.at_least("m", m, 0) || !check.at_least("n", n, 0) ||
        !check.at_least("k", k, 0) || !check.text(text, capacity)) {
        return NF4J_INVALID_ARGUMENT;
    }
    if (!fits_memory(m, n) || !fits_memory(m, k) || !fits_memory(n, k)) {
        check.refuse("m, n and k are %lld, %lld and %lld, expected sizes whose products fit into memory",
                     static_cast<long long>(m), static_cast<long long>(n), static_cast<long long>(k));
        return NF4J_INVALID_ARGUMENT;
    }
    if (operation < NF4J_OP_NF4_QUANTIZE || operation > NF4J_OP_MEMORY) {
        check.refuse("operation is %d, expected one of nf4j_operation (1 ... 15)", operation);
        return NF4J_INVALID_ARGUMENT;
    }
    if (dtype != NF4J_F32 && dtype != NF4J_BF16) {
        check.refuse("dtype is 0x%04x, expected F32 or BF16", static_cast<unsigned>(dtype));
        return NF4J_INVALID_ARGUMENT;
    }
    return check.run(&Backend::explain, stream, operation, m, n, k, dtype, text, capacity);
}

int32_t nf4j_memory_alloc(nf4j_device *device, int64_t bytes, void **data) {
    const Check check("memory_alloc");
    if (!check.not_null("device", device) || !check.at_least("bytes", bytes, 0) || !check.not_null("data", data)) {
        return NF4J_INVALID_ARGUMENT;
    }
    *data = nullptr;
    return bytes == 0 ? NF4J_OK : allocate(check, device, &Backend::alloc, bytes, data);
}

int32_t nf4j_memory_alloc_paged(nf4j_device *device, int64_t bytes, void **data) {
    const Check check("memory_alloc_paged");
    if (!check.not_null("device", device) || !check.at_least("bytes", bytes, 0) || !check.not_null("data", data)) {
        return NF4J_INVALID_ARGUMENT;
    }
    *data = nullptr;
    const auto kind = device->backend->alloc_paged ? &Backend::alloc_paged : &Backend::alloc;
    return bytes == 0 ? NF4J_OK : allocate(check, device, kind, bytes, data);
}

int32_t nf4j_memory_prefetch(nf4j_stream *stream, const void *data, int64_t bytes) {
    const Check check("memory_prefetch");
    if (!check.stream(stream) || !check.at_least("bytes", bytes, 0) || (bytes > 0 && !check.not_null("data", data))) {
        return NF4J_INVALID_ARGUMENT;
    }
    return bytes > 0 && stream->device->backend->prefetch ? check.run(&Backend::prefetch, stream, data, bytes)
                                                          : NF4J_OK;
}

int32_t nf4j_memory_free(nf4j_device *device, void *data) {
    const Check check("memory_free");
    if (!check.not_null("device", device)) return NF4J_INVALID_ARGUMENT;
    return data ? free_memory(device, data) : NF4J_OK;
}
