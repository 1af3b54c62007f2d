// A CUDA runtime with one GPU that has everything wrong with it that the environment says. The objects of libnf4j-cuda are linked with it in
// place of libcudart_static, so that what they make of a GPU's failures is seen without one. Its memory is the host's; kernels do nothing.
//
//   FAKE_CAPABILITY=75      10 * major + minor of its compute capability; 80 if not given
//   FAKE_MEMORY=N           bytes that it has; 1 GiB
//   FAKE_PAGING=0           it cannot fetch pages of managed memory
//   FAKE_CODE=N             asking for a kernel's code fails with this cudaError
//   FAKE_FAILING=launch     which calls fail, launch, copy, wait, info or alloc; read at each of them
//   FAKE_ERROR=N            with which cudaError: if it is one of those that take the context along, every later call fails with it, too
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>

namespace {

struct Piece {
    size_t bytes;
    cudaMemoryType type;
};

std::map<const void *, Piece> pieces;
std::map<std::string, int64_t> calls;  // by what was asked for
int64_t streams = 0;                   // made, and not destroyed
cudaStream_t asked_of = nullptr;       // the stream of the last launch, copy, prefetch or wait
bool capturing = false;
cudaError_t lost = cudaSuccess;

int64_t number(const char *name, int64_t otherwise) {
    const char *text = std::getenv(name);
    return text ? std::atoll(text) : otherwise;
}

// Those of which driver_types.h says that the process is in an inconsistent state, or that all allocations are invalid.
bool takes_the_context(cudaError_t error) {
    switch (error) {
        case cudaErrorContained:
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalInstruction:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorLaunchFailure:
        case cudaErrorExternalDevice: return true;
        default: return false;
    }
}

cudaError_t answer(const char *what) {
    calls[what]++;
    if (lost != cudaSuccess) return lost;
    const char *failing = std::getenv("FAKE_FAILING");
    if (!failing || std::strcmp(failing, what) != 0) return cudaSuccess;
    const auto error = static_cast<cudaError_t>(number("FAKE_ERROR", cudaErrorUnknown));
    if (takes_the_context(error)) lost = error;
    return error;
}

cudaError_t answer_on(cudaStream_t stream, const char *what) {
    asked_of = stream;
    return answer(what);
}

size_t total_memory() { return static_cast<size_t>(number("FAKE_MEMORY", int64_t{1} << 30)); }

size_t free_memory() {
    size_t used = 0;
    for (const auto &[memory, piece] : pieces) used += piece.bytes;
    return total_memory() - used;
}

cudaError_t allocate(void **memory, size_t bytes, cudaMemoryType type) {
    const cudaError_t error = answer("alloc");
    if (error != cudaSuccess) return error;
    if (bytes > free_memory()) return cudaErrorMemoryAllocation;
    *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    pieces[*memory] = {bytes, type};
    return cudaSuccess;
}

// Memory of the host's goes back another way than the GPU's.
cudaError_t release(void *memory, bool pinned) {
    const cudaError_t error = answer("free");
    if (!memory || error != cudaSuccess) return error;
    const auto found = pieces.find(memory);
    if (found == pieces.end() || (found->second.type == cudaMemoryTypeHost) != pinned) return cudaErrorInvalidValue;
    pieces.erase(found);
    std::free(memory);
    return cudaSuccess;
}

}  // namespace

extern "C" {

// For the tests: what the GPU was asked so far, and on which stream since the last question, its streams, and what it has allocated.
int64_t fake_calls_of(const char *what) { return calls[what]; }
int64_t fake_calls() {
    int64_t all = 0;
    for (const auto &[what, count] : calls) all += count;
    return all;
}
void *fake_stream() { return std::exchange(asked_of, nullptr); }
int64_t fake_streams() { return streams; }
int64_t fake_pieces() { return static_cast<int64_t>(pieces.size()); }

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return answer("count");
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return answer("device");
}

cudaError_t cudaSetDevice(int) { return answer("device"); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Fake GPU");
    const auto capability = static_cast<int>(number("FAKE_CAPABILITY", 80));
    properties->major = capability / 10;
    properties->minor = capability % 10;
    properties->multiProcessorCount = 1;
    return answer("properties");
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrConcurrentManagedAccess && number("FAKE_PAGING", 1) != 0;
    return answer("attribute");
}

cudaError_t cudaGetLastError() { return lost; }

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorNoKernelImageForDevice: return "no kernel image is available for execution on the device";
        case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
        default: return "another error";
    }
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    const cudaError_t error = answer("info");
    if (error != cudaSuccess) return error;
    *free_bytes = free_memory();
    *total = total_memory();
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeDevice); }

cudaError_t cudaMallocManaged(void **memory, size_t bytes, unsigned) {
    return allocate(memory, bytes, cudaMemoryTypeManaged);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) { return allocate(memory, bytes, cudaMemoryTypeHost); }

cudaError_t cudaFree(void *memory) { return release(memory, false); }

cudaError_t cudaFreeHost(void *memory) { return release(memory, true); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *memory) {
    *attributes = {};
    const auto found = pieces.find(memory);
    if (found != pieces.end()) attributes->type = found->second.type;
    return answer("attribute");
}

// It waits.
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind) {
    const cudaError_t error = answer("wait");
    if (error == cudaSuccess) std::memcpy(to, from, bytes);
    return error;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    const cudaError_t error = answer_on(stream, "copy");
    if (error == cudaSuccess) std::memcpy(to, from, bytes);
    return error;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind, cudaStream_t stream) {
    const cudaError_t error = answer_on(stream, "copy");
    for (size_t i = 0; error == cudaSuccess && i < height; i++)
        std::memcpy(static_cast<char *>(to) + i * to_pitch, static_cast<const char *>(from) + i * from_pitch, width);
    return error;
}

cudaError_t cudaMemPrefetchAsync(const void *memory, size_t bytes, cudaMemLocation to, unsigned, cudaStream_t stream) {
    const auto found = pieces.find(memory);
    if (found == pieces.end() || found->second.type != cudaMemoryTypeManaged || bytes > found->second.bytes ||
        to.type != cudaMemLocationTypeDevice || to.id != 0)
        return cudaErrorInvalidValue;
    return answer_on(stream, "prefetch");
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
    *stream = reinterpret_cast<cudaStream_t>(&calls);
    streams++;
    return answer("stream");
}

cudaError_t cudaStreamDestroy(cudaStream_t) {
    streams--;
    return answer("stream");
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return answer_on(stream, "wait"); }

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus *status) {
    *status = capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return answer("capture");
}

// Graphs: a stream is captured from begin to end, but nothing is kept, and nothing launched.
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    const cudaError_t error = answer("graph");
    capturing = error == cudaSuccess;
    return error;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
    *graph = reinterpret_cast<cudaGraph_t>(&calls);
    capturing = false;
    return answer("graph");
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t, unsigned long long) {
    *executable = reinterpret_cast<cudaGraphExec_t>(&calls);
    return answer("graph");
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t stream) { return answer_on(stream, "launch"); }

cudaError_t cudaGraphDestroy(cudaGraph_t) { return answer("graph"); }

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return answer("graph"); }

cudaError_t cudaGetDriverEntryPointByVersion(const char *, void **entry, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *) {
    *entry = nullptr;
    return answer("entry");
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *) {
    *attributes = {};
    const cudaError_t error = answer("code");
    return error != cudaSuccess ? error : static_cast<cudaError_t>(number("FAKE_CODE", cudaSuccess));
}

cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) { return answer("code"); }

cudaError_t cudaLaunchKernel(const void *, dim3, dim3, void **, size_t, cudaStream_t stream) {
    return answer_on(stream, "launch");
}

// What nvcc's code for the host calls: crt/host_runtime.h.
void **__cudaRegisterFatBinary(void *) {
    static void *handle = nullptr;
    return &handle;
}

void __cudaRegisterFatBinaryEnd(void **) {}

void __cudaUnregisterFatBinary(void **) {}

void __cudaRegisterFunction(void **, const char *, char *, const char *, int, uint3 *, uint3 *, dim3 *, dim3 *, int *) {
}

cudaError_t __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *, void *) { return cudaErrorUnknown; }

cudaError_t __cudaGetKernel(cudaKernel_t *, const void *) { return cudaErrorUnknown; }

cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void **, size_t, cudaStream_t) { return cudaErrorUnknown; }

}  // extern "C"
