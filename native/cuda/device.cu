// The host's side of a GPU, through the runtime that is linked in; that finds the driver when it is first called.
#include "cuda/device.h"

#include "core/nf4_tables.h"
#include "cuda/launch.h"

#include <algorithm>
#include <cstdio>
#include <new>

namespace nf4j::cuda {

const int32_t backend_id = NF4J_BACKEND_CUDA;
const char *const backend_name = "cuda";

namespace {

constexpr int least_compute_capability = 80;

struct Gpu {
    int ordinal;
    Tables *tables;
    Traits traits;
};

Gpu *gpu_of(const nf4j_device *device) { return static_cast<Gpu *>(device->impl); }

cudaStream_t native(const nf4j_stream *stream) { return static_cast<cudaStream_t>(stream->impl); }

// What a failed call means to the caller.
int32_t check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return NF4J_OK;
    const char *text = cudaGetErrorString(error);
    switch (error) {
        case cudaErrorMemoryAllocation: return fail(NF4J_OUT_OF_MEMORY, "cuda: %s: %s", what, text);
        case cudaErrorNoDevice:
        case cudaErrorInsufficientDriver:
        case cudaErrorInvalidDevice:
        case cudaErrorInitializationError: return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s: %s", what, text);
        case cudaErrorNoKernelImageForDevice:
            return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s: this build has no code for the device: %s", what, text);
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchFailure:
        case cudaErrorMisalignedAddress:
        case cudaErrorIllegalInstruction:
        case cudaErrorHardwareStackError:
        case cudaErrorAssert:
        case cudaErrorECCUncorrectable:
        case cudaErrorDevicesUnavailable: return fail(NF4J_DEVICE_LOST, "cuda: %s: the device is lost: %s", what, text);
        default: return fail(NF4J_INTERNAL, "cuda: %s: %s", what, text);
    }
}

// The ordinal's name and whether this build can use it, as one line.
int describe(int ordinal, char *text, size_t capacity, bool *usable) {
    cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, ordinal);
    *usable = error == cudaSuccess && properties.major * 10 + properties.minor >= least_compute_capability;
    if (error != cudaSuccess)
        return std::snprintf(text, capacity, "device %d: no, %s\n", ordinal, cudaGetErrorString(error));
    return std::snprintf(text, capacity, "device %d: %s, %s, compute capability %d.%d%s\n", ordinal,
                         *usable ? "yes" : "no", properties.name, properties.major, properties.minor,
                         *usable ? "" : ", 8.0 or newer is needed");
}

}  // namespace

int32_t open(const nf4j_device_options *options, nf4j_device *device) {
    int count = 0;
    int32_t status = check(cudaGetDeviceCount(&count), "no device or no driver");
    if (status != NF4J_OK) return status;
    if (options->ordinal >= count) {
        return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: there is no device %d, this machine has %d", options->ordinal,
                    count);
    }
    char text[256];
    bool usable;
    describe(options->ordinal, text, sizeof text, &usable);
    if (!usable) return fail(NF4J_BACKEND_UNAVAILABLE, "cuda: %s", text);
    status = check(cudaSetDevice(options->ordinal), "the device cannot be chosen");
    if (status != NF4J_OK) return status;

    Tables host;
    std::copy(nf4_code.begin(), nf4_code.end(), host.nf4_code);
    std::copy(dynamic_map_signed.begin(), dynamic_map_signed.end(), host.signed_map);
    std::copy(dynamic_map_unsigned.begin(), dynamic_map_unsigned.end(), host.unsigned_map);
    auto *gpu = new (std::nothrow) Gpu{options->ordinal, nullptr, {}};
    if (!gpu) return fail(NF4J_OUT_OF_MEMORY, "cuda: no memory");
    status = check(cudaMalloc(&gpu->tables, sizeof host), "no memory for the tables");
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
    cudaDriverGetVersion(&driver);
    const cudaError_t error = cudaGetDeviceCount(&count);
    auto left = static_cast<size_t>(capacity);
    if (error != cudaSuccess) {
        std::snprintf(text, left, "cuda: no, %s (driver %d, 0 is none)\n", cudaGetErrorString(error), driver);
        return NF4J_OK;
    }
    for (int ordinal = 0; ordinal < count; ordinal++) {
        bool usable;
        const auto used = static_cast<size_t>(describe(ordinal, text, left, &usable));
        if (used >= left) break;
        text += used;
        left -= used;
    }
    return NF4J_OK;
}

int32_t stream_create(nf4j_stream *stream) {
    stream->impl = stream->native_stream;
    if (stream->native_stream) return NF4J_OK;
    cudaStream_t created;
    int32_t status = check(cudaSetDevice(gpu_of(stream->device)->ordinal), "the device cannot be chosen");
    if (status == NF4J_OK) status = check(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking), "no stream");
    if (status == NF4J_OK) stream->impl = created;
    return status;
}

void stream_destroy(nf4j_stream *stream) {
    cudaStreamSynchronize(native(stream));
    if (!stream->native_stream) cudaStreamDestroy(native(stream));
}

int32_t stream_synchronize(nf4j_stream *stream) { return check(cudaStreamSynchronize(native(stream)), "queued work"); }

int32_t alloc(nf4j_device *device, int64_t bytes, void **data) {
    *data = nullptr;
    int32_t status = check(cudaSetDevice(gpu_of(device)->ordinal), "the device cannot be chosen");
    if (status != NF4J_OK) return status;
    const cudaError_t error = cudaMalloc(data, static_cast<size_t>(bytes));
    if (error != cudaErrorMemoryAllocation) return check(error, "allocation");
    cudaGetLastError();  // an allocation that failed spoils nothing
    size_t free_bytes = 0, total = 0;
    cudaMemGetInfo(&free_bytes, &total);
    return fail(NF4J_OUT_OF_MEMORY, "cuda: %lld bytes of device memory cannot be allocated, %zu of %zu are free",
                static_cast<long long>(bytes), free_bytes, total);
}

int32_t free(nf4j_device *, void *data) { return check(cudaFree(data), "free"); }

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

const Tables *tables_of(const nf4j_stream *stream) { return gpu_of(stream->device)->tables; }

const Traits &traits_of(const nf4j_stream *stream) { return gpu_of(stream->device)->traits; }

int32_t launch_on_device(nf4j_stream *stream, const char *name, int64_t blocks, int threads, int64_t shared_bytes,
                         const void *kernel, void **parameters) {
    constexpr int64_t shared_without_asking = 48 << 10;
    if (shared_bytes > shared_without_asking) {
        const cudaError_t error =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
        if (error != cudaSuccess) return check(error, name);
    }
    return check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)),
                                  parameters, static_cast<size_t>(shared_bytes), native(stream)),
                 name);
}

}  // namespace nf4j::cuda
