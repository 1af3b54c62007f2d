// The host's side of simt: device memory is ordinary memory, filled with NaN when it is new, and an operation has
// finished when it returns.
#include "cuda/device.h"

#include "core/host.h"
#include "core/nf4_tables.h"
#include "cuda/devices.h"
#include "simt/capture.h"
#include "simt/driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace nf4j::cuda {

namespace {

// What an operation must not do, lest it cannot be captured. core/ has refused it to callers.
int32_t refuse_in_capture(const char *what) {
    return fail(NF4J_UNSUPPORTED, "simt: %s: not while the stream is captured", what);
}

}  // namespace

const int32_t backend_id = NF4J_BACKEND_SIMT;
const char *const backend_name = "simt";

namespace {

// Ordinal 0 is what NF4J_SIMT_DEVICE names; an A100 takes the kernels that run everywhere. Ordinal 1 is an H100 with so
// few multiprocessors that persistent blocks have several tiles.
constexpr Traits second = {"H100", hopper, 2};
constexpr int devices = 2;

}  // namespace

int32_t open(const nf4j_device_options *options, nf4j_device *device) {
    if (options->ordinal >= devices)
        return fail(NF4J_BACKEND_UNAVAILABLE, "simt: there is no device %d, it plays %d", options->ordinal, devices);
    const char *name = std::getenv("NF4J_SIMT_DEVICE");
    const KnownDevice *played = find_known_device(name ? name : "A100");
    if (!played) return fail(NF4J_INVALID_ARGUMENT, "simt: NF4J_SIMT_DEVICE is %s, which cuda/devices.h lacks", name);
    const Traits *traits = options->ordinal == 0 ? &played->traits : &second;
    device->impl = const_cast<Traits *>(traits);
    device->info.threads = 1;
    device->info.host_accessible = 1;
    std::snprintf(device->info.name, sizeof device->info.name, "simt: the CUDA kernels on host fibers, as on %s",
                  traits->name);
    return NF4J_OK;
}

void close(nf4j_device *) {}

int32_t refresh_info(const nf4j_device *, nf4j_device_info *info) {
    host_memory(&info->total_memory, &info->free_memory);
    return NF4J_OK;
}

int32_t probe(char *text, int64_t capacity) {
    std::snprintf(text, static_cast<size_t>(capacity), "simt: yes, the CUDA kernels on host fibers\n");
    return NF4J_OK;
}

int32_t stream_create(nf4j_stream *) { return NF4J_OK; }

void stream_destroy(nf4j_stream *stream) { delete simt::Capture::of(stream); }

int32_t stream_synchronize(nf4j_stream *stream) {
    return simt::Capture::of(stream) ? refuse_in_capture("synchronization") : simt::ask_driver("queued work");
}

int32_t graph_begin(nf4j_stream *stream) {
    const int32_t status = simt::ask_driver("graph_begin");
    if (status != NF4J_OK) return status;
    stream->impl = new (std::nothrow) simt::Capture;
    return stream->impl ? NF4J_OK : fail(NF4J_OUT_OF_MEMORY, "simt: no memory");
}

int32_t graph_end(nf4j_stream *stream, void **graph) {
    std::unique_ptr<simt::Capture> captured(simt::Capture::of(stream));
    stream->impl = nullptr;
    const int32_t status = simt::ask_driver("graph_end");
    if (status == NF4J_OK) *graph = captured.release();
    return status;
}

int32_t graph_launch(nf4j_stream *, void *graph) {
    const int32_t status = simt::ask_driver("graph_launch");
    return status == NF4J_OK ? static_cast<const simt::Capture *>(graph)->replay() : status;
}

void graph_destroy(void *graph) { delete static_cast<simt::Capture *>(graph); }

int32_t alloc(nf4j_device *device, int64_t bytes, void **data) {
    if (device->captures > 0) return refuse_in_capture("allocation");
    const int32_t status = host_alloc(bytes, data);
    if (status == NF4J_OK) std::memset(*data, 0xff, static_cast<size_t>(bytes));
    return status;
}

int32_t free(nf4j_device *, void *data) {
    host_free(data);
    return NF4J_OK;
}

int32_t alloc_paged(nf4j_device *device, int64_t bytes, void **data) { return alloc(device, bytes, data); }

int32_t prefetch(nf4j_stream *, const void *, int64_t) { return NF4J_OK; }

int32_t copy(nf4j_stream *stream, void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t width,
             int64_t rows) {
    if (width == 0 || rows == 0) return NF4J_OK;
    if (simt::Capture *capture = simt::Capture::of(stream)) {
        capture->add("copy", [=] { return copy(stream, to, to_stride, from, from_stride, width, rows); });
        return NF4J_OK;
    }
    const int32_t status = simt::ask_driver("copy");
    if (status != NF4J_OK) return status;
    for (int64_t i = 0; i < rows; i++) {
        std::memcpy(static_cast<char *>(to) + i * to_stride, static_cast<const char *>(from) + i * from_stride,
                    static_cast<size_t>(width));
    }
    return NF4J_OK;
}

// The host's is the device's.
bool is_device_memory(const nf4j_stream *, const void *) { return true; }

const Traits &traits_of(const nf4j_stream *stream) { return *static_cast<const Traits *>(stream->device->impl); }

const Tables *tables_of(const nf4j_stream *) {
    static const Tables tables = [] {
        Tables t;
        std::copy(nf4_code.begin(), nf4_code.end(), t.nf4_code);
        std::copy(dynamic_map_signed.begin(), dynamic_map_signed.end(), t.signed_map);
        std::copy(dynamic_map_unsigned.begin(), dynamic_map_unsigned.end(), t.unsigned_map);
        return t;
    }();
    return &tables;
}

}  // namespace nf4j::cuda
