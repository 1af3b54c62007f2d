// The host's side of a GPU, through the runtime that is linked in; that finds the driver when it is first called.
#include "cuda/device.h"

#include "core/nf4_tables.h"
#include "cuda/cublas.h"
#include "cuda/families.h"
#include "cuda/gpu.h"
#include "cuda/launch.h"
#include "cuda/tensor_map.h"

#include <cudaTypedefs.h>

#include <algorithm>
#include <cstdio>
#include <new>

namespace nf4j::cuda {

const int32_t backend_id = NF4J_BACKEND_CUDA;
const char *const backend_name = "cuda";

namespace {

constexpr int least_compute_capability = 80;

Gpu *gpu_of(const nf4j_device *device) { return static_cast<Gpu *>(device->impl); }

cudaStream_t native(const nf4j_stream *stream) { return static_cast<GpuStream *>(stream->impl)->stream; }

// 13020 is 13.2.
void version_text(int version, char *text, size_t capacity) {
    std::snprintf(text, capacity, "%d.%d", version / 1000, version % 1000 / 10);
}

// Why no device can be used at all, with the versions of driver and build.
void describe_driver(cudaError_t error, char *text, size_t capacity) {
    int driver = 0;
    cudaDriverGetVersion(&driver);  // 0 where there is none
    char has[16], needs[16];
    version_text(driver, has, sizeof has);
    version_text(CUDART_VERSION, needs, sizeof needs);
    if (driver == 0) {
        std::snprintf(text, capacity,
                      "no NVIDIA driver (libcuda.so.1) was found; a driver for CUDA %s or newer is needed", needs);
    } else if (driver / 1000 < CUDART_VERSION / 1000) {
        std::snprintf(text, capacity, "the driver is for CUDA %s and this build needs one for %s or newer: %s", has,
                      needs, cudaGetErrorString(error));
    } else {
        std::snprintf(text, capacity, "%s (driver for CUDA %s, build for %s)", cudaGetErrorString(error), has, needs);
    }
}

// No memory: what of it there is. Such a failure spoils nothing, so the runtime shall forget it.
int32_t out_of_memory(const char *what) {
    cudaGetLastError();
    size_t free_bytes = 0, total = 0;
    cudaMemGetInfo(&free_bytes, &total);
    return fail(NF4J_OUT_OF_MEMORY, "cuda: %s: out of memory, %zu of the device's %zu bytes are free", what, free_bytes,
                total);
}

// What a failed call means to the caller.
int32_t check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return NF4J_OK;
    const char *text = cudaGetErrorString(error);
    switch (error) {
        case cudaErrorMemoryAllocation: return out_of_memory(what);
        case cudaErrorInvalidDevice:
        case cudaErrorDevicesUnavailable:
        case cudaErrorInitializationError: return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s: %s", what, text);
        case cudaErrorInvalidDeviceFunction:
        case cudaErrorNoKernelImageForDevice:
        case cudaErrorUnsupportedPtxVersion:
            return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s: this build has no code for the device: %s", what, text);
        case cudaErrorStreamCaptureUnsupported:
        case cudaErrorStreamCaptureImplicit:
            return fail(NF4J_UNSUPPORTED, "cuda: %s: not while the stream is captured: %s", what, text);
        case cudaErrorStreamCaptureInvalidated:
        case cudaErrorStreamCaptureMerge:
        case cudaErrorStreamCaptureUnmatched:
        case cudaErrorStreamCaptureUnjoined:
        case cudaErrorStreamCaptureIsolation:
        case cudaErrorStreamCaptureWrongThread:
            return fail(NF4J_UNSUPPORTED, "cuda: %s: what happened on the stream meanwhile cannot be captured: %s",
                        what, text);
        // After these the process's context is of no use any more.
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchFailure:
        case cudaErrorLaunchTimeout:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorIllegalInstruction:
        case cudaErrorHardwareStackError:
        case cudaErrorAssert:
        case cudaErrorContained:
        case cudaErrorExternalDevice:
        case cudaErrorECCUncorrectable:
        case cudaErrorNvlinkUncorrectable:
        case cudaErrorMpsClientTerminated:
        case cudaErrorContextIsDestroyed: return fail(NF4J_DEVICE_LOST, "cuda: %s: the device is lost: %s", what, text);
        default: return fail(NF4J_INTERNAL, "cuda: %s: %s", what, text);
    }
}

// What loading the code of a kernel ends with, on a device that need not be the current one.
cudaError_t load_code(int ordinal) {
    int current = 0;
    cudaGetDevice(&current);
    cudaError_t error = cudaSetDevice(ordinal);
    cudaFuncAttributes attributes;
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, any_kernel());
    cudaSetDevice(current);
    cudaGetLastError();
    return error;
}

// The ordinal's name and whether this build can use it, as one line.
int describe(int ordinal, char *text, size_t capacity, bool *usable) {
    *usable = false;
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceProperties(&properties, ordinal);
    if (error != cudaSuccess)
        return std::snprintf(text, capacity, "device %d: no, %s\n", ordinal, cudaGetErrorString(error));
    const auto line = [&](const char *answer, const char *why, const char *detail) {
        return std::snprintf(text, capacity, "device %d: %s, %s, compute capability %d.%d%s%s\n", ordinal, answer,
                             properties.name, properties.major, properties.minor, why, detail);
    };
    if (properties.major * 10 + properties.minor < least_compute_capability)
        return line("no", ", 8.0 or newer is needed", "");
    error = load_code(ordinal);
    if (error != cudaSuccess)
        return line("no", ", the code of this build cannot be loaded: ", cudaGetErrorString(error));
    *usable = true;
    return line("yes", "", "");
}

}  // namespace

int32_t open(const nf4j_device_options *options, nf4j_device *device) {
    int count = 0;
    const cudaError_t counted = cudaGetDeviceCount(&count);
    char text[256];
    if (counted != cudaSuccess) {
        describe_driver(counted, text, sizeof text);
        return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s", text);
    }
    if (options->ordinal >= count) {
        return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: there is no device %d, this machine has %d", options->ordinal,
                    count);
    }
    bool usable;
    describe(options->ordinal, text, sizeof text, &usable);
    if (!usable) return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s", text);
    int32_t status = check(cudaSetDevice(options->ordinal), "the device cannot be chosen");
    if (status != NF4J_OK) return status;

    Tables host;
    std::copy(nf4_code.begin(), nf4_code.end(), host.nf4_code);
    std::copy(dynamic_map_signed.begin(), dynamic_map_signed.end(), host.signed_map);
    std::copy(dynamic_map_unsigned.begin(), dynamic_map_unsigned.end(), host.unsigned_map);
    auto *gpu = new (std::nothrow) Gpu{options->ordinal, nullptr, {}, 0};
    if (!gpu) return fail(NF4J_OUT_OF_MEMORY, "cuda: no memory");
    status = check(cudaMalloc(&gpu->tables, sizeof host), "memory for the tables cannot be allocated");
    if (status == NF4J_OK)
        status = check(cudaMemcpy(gpu->tables, &host, sizeof host, cudaMemcpyHostToDevice), "copy of the tables");
    if (status != NF4J_OK) {
        cudaFree(gpu->tables);
        delete gpu;
        return status;
    }
    device->impl = gpu;
    cudaDeviceProp properties;
    cudaGetDeviceProperties(&properties, options->ordinal);
    std::snprintf(device->info.name, sizeof device->info.name, "%.60s", properties.name);
    gpu->traits = {device->info.name, properties.major * 10 + properties.minor, properties.multiProcessorCount};
    gpu->most_shared_bytes = static_cast<int>(properties.sharedMemPerBlockOptin);
    return NF4J_OK;
}

void close(nf4j_device *device) {
    cudaFree(gpu_of(device)->tables);
    delete gpu_of(device);
}

int32_t refresh_info(const nf4j_device *device, nf4j_device_info *info) {
    size_t free_bytes = 0, total = 0;
    int32_t status = check(cudaSetDevice(gpu_of(device)->ordinal), "the device cannot be chosen");
    if (status == NF4J_OK) status = check(cudaMemGetInfo(&free_bytes, &total), "memory info");
    info->free_memory = static_cast<int64_t>(free_bytes);
    info->total_memory = static_cast<int64_t>(total);
    return status;
}

int32_t probe(char *text, int64_t capacity) {
    int count = 0, driver = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    auto left = static_cast<size_t>(capacity);
    if (error != cudaSuccess) {
        char reason[256];
        describe_driver(error, reason, sizeof reason);
        std::snprintf(text, left, "cuda: no, %s\n", reason);
        return NF4J_OK;
    }
    const auto advance = [&](int written) {
        const size_t used = std::min(static_cast<size_t>(written), left);
        text += used;
        left -= used;
    };
    for (int ordinal = 0; ordinal < count; ordinal++) {
        bool usable;
        advance(describe(ordinal, text, left, &usable));
    }
    cudaDriverGetVersion(&driver);
    char has[16], built[16];
    version_text(driver, has, sizeof has);
    version_text(CUDART_VERSION, built, sizeof built);
    advance(std::snprintf(text, left, "driver for CUDA %s, built with CUDA %s\n", has, built));
    advance(std::snprintf(text, left, "%s\n", cublas_description()));
    return NF4J_OK;
}

int32_t stream_create(nf4j_stream *stream) {
    auto *created = new (std::nothrow) GpuStream{static_cast<cudaStream_t>(stream->native_stream)};
    if (!created) return fail(NF4J_OUT_OF_MEMORY, "cuda: no memory");
    stream->impl = created;
    int32_t status = check(cudaSetDevice(gpu_of(stream->device)->ordinal), "the device cannot be chosen");
    if (status == NF4J_OK && !created->stream)
        status = check(cudaStreamCreateWithFlags(&created->stream, cudaStreamNonBlocking), "no stream");
    if (status == NF4J_OK) status = cublas_open(stream);
    if (status != NF4J_OK) stream_destroy(stream);
    return status;
}

void stream_destroy(nf4j_stream *stream) {
    auto *gpu_stream = static_cast<GpuStream *>(stream->impl);
    if (gpu_stream->stream) cudaStreamSynchronize(gpu_stream->stream);
    cublas_close(gpu_stream);
    if (gpu_stream->stream && !stream->native_stream) cudaStreamDestroy(gpu_stream->stream);
    delete gpu_stream;
}

int32_t stream_synchronize(nf4j_stream *stream) { return check(cudaStreamSynchronize(native(stream)), "queued work"); }

int32_t graph_begin(nf4j_stream *stream) {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    const int32_t status = check(cudaStreamIsCapturing(native(stream), &capturing), "graph_begin");
    if (status != NF4J_OK) return status;
    if (capturing != cudaStreamCaptureStatusNone)
        return fail(NF4J_UNSUPPORTED, "cuda: graph_begin: the stream's owner is capturing it, and so has these calls");
    // Other modes would watch over what this and other threads do with the runtime elsewhere. core/ refuses what matters, and
    // a thread of Java's may go on on another one of the system's.
    return check(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeRelaxed), "graph_begin");
}

int32_t graph_end(nf4j_stream *stream, void **graph) {
    cudaGraph_t captured = nullptr;
    cudaGraphExec_t executable = nullptr;
    int32_t status = check(cudaStreamEndCapture(native(stream), &captured), "graph_end");
    if (status == NF4J_OK) status = check(cudaGraphInstantiate(&executable, captured, 0), "graph_end");
    if (captured) cudaGraphDestroy(captured);
    *graph = executable;
    return status;
}

int32_t graph_launch(nf4j_stream *stream, void *graph) {
    return check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), native(stream)), "graph_launch");
}

void graph_destroy(void *graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

namespace {

int32_t allocated(cudaError_t error, const char *kind, int64_t bytes) {
    char what[96];
    std::snprintf(what, sizeof what, "%lld bytes of %s memory cannot be allocated", static_cast<long long>(bytes),
                  kind);
    return check(error, what);
}

bool moves_pages(const Gpu *gpu) {
    int concurrent = 0;
    return cudaDeviceGetAttribute(&concurrent, cudaDevAttrConcurrentManagedAccess, gpu->ordinal) == cudaSuccess &&
           concurrent;
}

}  // namespace

int32_t alloc(nf4j_device *device, int64_t bytes, void **data) {
    *data = nullptr;
    const int32_t status = check(cudaSetDevice(gpu_of(device)->ordinal), "the device cannot be chosen");
    return status != NF4J_OK ? status : allocated(cudaMalloc(data, static_cast<size_t>(bytes)), "device", bytes);
}

int32_t alloc_paged(nf4j_device *device, int64_t bytes, void **data) {
    *data = nullptr;
    const int32_t status = check(cudaSetDevice(gpu_of(device)->ordinal), "the device cannot be chosen");
    if (status != NF4J_OK) return status;
    const auto size = static_cast<size_t>(bytes);
    return moves_pages(gpu_of(device)) ? allocated(cudaMallocManaged(data, size), "managed", bytes)
                                       : allocated(cudaMallocHost(data, size), "pinned", bytes);
}

int32_t prefetch(nf4j_stream *stream, const void *data, int64_t bytes) {
    cudaPointerAttributes of = {};
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    int32_t status = check(cudaPointerGetAttributes(&of, data), "prefetch");
    if (status == NF4J_OK) status = check(cudaStreamIsCapturing(native(stream), &capturing), "prefetch");
    if (status != NF4J_OK || of.type != cudaMemoryTypeManaged || capturing != cudaStreamCaptureStatusNone)
        return status;
    const cudaMemLocation here = {cudaMemLocationTypeDevice, gpu_of(stream->device)->ordinal};
    return check(cudaMemPrefetchAsync(data, static_cast<size_t>(bytes), here, 0, native(stream)), "prefetch");
}

int32_t free(nf4j_device *, void *data) {
    cudaPointerAttributes of = {};
    const bool pinned = cudaPointerGetAttributes(&of, data) == cudaSuccess && of.type == cudaMemoryTypeHost;
    return check(pinned ? cudaFreeHost(data) : cudaFree(data), "free");
}

int32_t copy(nf4j_stream *stream, void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t width,
             int64_t rows) {
    if (width == 0 || rows == 0) return NF4J_OK;
    const auto bytes = static_cast<size_t>(width);
    if (rows == 1 || (to_stride == width && from_stride == width)) {
        return check(cudaMemcpyAsync(to, from, bytes * static_cast<size_t>(rows), cudaMemcpyDefault, native(stream)),
                     "copy");
    }
    return check(cudaMemcpy2DAsync(to, static_cast<size_t>(to_stride), from, static_cast<size_t>(from_stride), bytes,
                                   static_cast<size_t>(rows), cudaMemcpyDefault, native(stream)),
                 "copy");
}

bool is_device_memory(const nf4j_stream *stream, const void *data) {
    cudaPointerAttributes of = {};
    return cudaPointerGetAttributes(&of, data) == cudaSuccess && of.type == cudaMemoryTypeDevice &&
           of.device == gpu_of(stream->device)->ordinal;
}

const Tables *tables_of(const nf4j_stream *stream) { return gpu_of(stream->device)->tables; }

const Traits &traits_of(const nf4j_stream *stream) { return gpu_of(stream->device)->traits; }

int32_t make_tensor_map(const void *data, int64_t rows, int64_t cols, int64_t ld, int box_rows, TensorMap *map) {
    // The driver is not linked; the runtime knows where it is.
    void *entry = nullptr;
    cudaDriverEntryPointQueryResult found;
    const int32_t status =
        check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found),
              "cuTensorMapEncodeTiled");
    if (status != NF4J_OK) return status;
    if (!entry)
        return fail(NF4J_UNSUPPORTED, "cuda: the driver has no cuTensorMapEncodeTiled, 12.0 or newer is needed");
    const cuuint64_t sizes[] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
    const cuuint64_t strides[] = {static_cast<cuuint64_t>(ld) * 2};
    const cuuint32_t box[] = {box_cols, static_cast<cuuint32_t>(box_rows)}, steps[] = {1, 1};
    const CUresult result = reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(entry)(
        map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void *>(data), sizes, strides, box, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return NF4J_OK;
    return fail(NF4J_INTERNAL, "cuda: cuTensorMapEncodeTiled: error %d for [%lld, %lld], ld %lld",
                static_cast<int>(result), static_cast<long long>(rows), static_cast<long long>(cols),
                static_cast<long long>(ld));
}

int32_t launch_on_device(nf4j_stream *stream, const char *name, int64_t blocks, int threads, int64_t shared_bytes,
                         const void *kernel, void **parameters) {
    constexpr int64_t shared_without_asking = 48 << 10;
    KernelSet &allowed = static_cast<GpuStream *>(stream->impl)->allowed_most;
    if (shared_bytes > shared_without_asking && !allowed.contains(kernel)) {
        const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       gpu_of(stream->device)->most_shared_bytes);
        if (error != cudaSuccess) return check(error, name);
        allowed.add(kernel);
    }
    return check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)),
                                  parameters, static_cast<size_t>(shared_bytes), native(stream)),
                 name);
}

}  // namespace nf4j::cuda
