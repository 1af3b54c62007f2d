// What gpu_bench needs of a machine beside nf4j.h: a stream, a clock that runs on the device, and graphs. On a GPU they are
// the driver's, loaded when it runs; simt has neither, and is there to see that the program works.
#pragma once

#include "nf4j.h"

#include <cuda.h>
#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>

// A family that fails must not cost the rows of the others.
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void must(int32_t status) {
    if (status != NF4J_OK) throw Failure(nf4j_last_error());
}

// A recorded sequence of operations that can be run again.
struct Recording {
    std::function<void()> run;
    std::function<void()> discard;
    int launches = 0;  // kernels and copies in it, 0 where nobody counts
};

class Machine {
public:
    virtual ~Machine() = default;
    // A CUstream, or null.
    virtual void *stream() = 0;
    // Microseconds of the device between the beginning and the end of `work`, which queues operations on stream().
    virtual double time(const std::function<void()> &work) = 0;
    virtual Recording record(const std::function<void()> &work) = 0;
    // MHz of the multiprocessors now; 0 if unknown.
    virtual int clock() = 0;
    virtual int multiprocessors() = 0;
    virtual int64_t l2_bytes() = 0;
    virtual std::string isa() = 0;
    virtual std::string name() = 0;
    virtual std::string driver() = 0;
};

class Host : public Machine {
public:
    void *stream() override { return nullptr; }
    double time(const std::function<void()> &work) override {
        const auto begin = std::chrono::steady_clock::now();
        work();
        return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
    }
    Recording record(const std::function<void()> &work) override {
        return {work, [] {}, 0};
    }
    int clock() override { return 0; }
    int multiprocessors() override { return 1; }
    int64_t l2_bytes() override { return 1 << 10; }
    std::string isa() override { return "simt"; }
    std::string name() override { return "simt on the host"; }
    std::string driver() override { return "none"; }
};

class Gpu : public Machine {
public:
    Gpu() {
        void *library = dlopen("libcuda.so.1", RTLD_NOW);
        if (!library) {
            std::fprintf(stderr, "gpu_bench: no driver: %s\n", dlerror());
            std::exit(3);
        }
#define NF4J_STRING_(x) #x
#define NF4J_STRING(x) NF4J_STRING_(x) /* the header renames functions to their newest version */
#define NF4J_LOAD(function) function##_ = reinterpret_cast<decltype(&::function)>(find(library, NF4J_STRING(function)))
        NF4J_LOAD(cuInit);
        NF4J_LOAD(cuDeviceGet);
        NF4J_LOAD(cuDeviceGetName);
        NF4J_LOAD(cuDeviceGetAttribute);
        NF4J_LOAD(cuDevicePrimaryCtxRetain);
        NF4J_LOAD(cuCtxSetCurrent);
        NF4J_LOAD(cuDriverGetVersion);
        NF4J_LOAD(cuStreamCreate);
        NF4J_LOAD(cuStreamBeginCapture);
        NF4J_LOAD(cuStreamEndCapture);
        NF4J_LOAD(cuStreamSynchronize);
        NF4J_LOAD(cuGraphGetNodes);
        NF4J_LOAD(cuGraphInstantiateWithFlags);
        NF4J_LOAD(cuGraphLaunch);
        NF4J_LOAD(cuGraphExecDestroy);
        NF4J_LOAD(cuGraphDestroy);
        NF4J_LOAD(cuEventCreate);
        NF4J_LOAD(cuEventRecord);
        NF4J_LOAD(cuEventSynchronize);
        NF4J_LOAD(cuEventElapsedTime);
#undef NF4J_LOAD
#undef NF4J_STRING
#undef NF4J_STRING_
        CUcontext context;
        check(cuInit_(0), "cuInit");
        check(cuDeviceGet_(&device_, 0), "cuDeviceGet");
        check(cuDevicePrimaryCtxRetain_(&context, device_), "cuDevicePrimaryCtxRetain");
        check(cuCtxSetCurrent_(context), "cuCtxSetCurrent");
        check(cuStreamCreate_(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
        check(cuEventCreate_(&begin_, CU_EVENT_DEFAULT), "cuEventCreate");
        check(cuEventCreate_(&end_, CU_EVENT_DEFAULT), "cuEventCreate");
        open_nvml();
    }

    void *stream() override { return stream_; }

    double time(const std::function<void()> &work) override {
        check(cuEventRecord_(begin_, stream_), "cuEventRecord");
        work();
        check(cuEventRecord_(end_, stream_), "cuEventRecord");
        check(cuEventSynchronize_(end_), "cuEventSynchronize");
        float milliseconds = 0;
        check(cuEventElapsedTime_(&milliseconds, begin_, end_), "cuEventElapsedTime");
        return 1e3 * static_cast<double>(milliseconds);
    }

    // A graph: what is timed is then the device's work, not the host's queueing.
    Recording record(const std::function<void()> &work) override {
        CUgraph graph;
        CUgraphExec executable;
        check(cuStreamBeginCapture_(stream_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "cuStreamBeginCapture");
        try {
            work();
        } catch (const Failure &) {
            cuStreamEndCapture_(stream_, &graph);
            throw;
        }
        check(cuStreamEndCapture_(stream_, &graph), "cuStreamEndCapture");
        size_t nodes = 0;
        check(cuGraphGetNodes_(graph, nullptr, &nodes), "cuGraphGetNodes");
        check(cuGraphInstantiateWithFlags_(&executable, graph, 0), "cuGraphInstantiate");
        check(cuGraphDestroy_(graph), "cuGraphDestroy");
        return {[this, executable] { check(cuGraphLaunch_(executable, stream_), "cuGraphLaunch"); },
                [this, executable] {
                    check(cuStreamSynchronize_(stream_), "cuStreamSynchronize");
                    cuGraphExecDestroy_(executable);
                },
                static_cast<int>(nodes)};
    }

    int clock() override {
        constexpr int sm_clock = 1;  // NVML_CLOCK_SM
        unsigned mhz = 0;
        return nvml_clock_ && nvml_clock_(nvml_device_, sm_clock, &mhz) == 0 ? static_cast<int>(mhz) : 0;
    }

    int multiprocessors() override { return attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT); }
    int64_t l2_bytes() override { return attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE); }
    std::string isa() override {
        return "sm_" + std::to_string(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)) +
               std::to_string(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
    }

    std::string name() override {
        char text[128] = "";
        check(cuDeviceGetName_(text, sizeof text, device_), "cuDeviceGetName");
        return std::string(text) + ", compute capability " +
               std::to_string(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)) + "." +
               std::to_string(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)) + ", " +
               std::to_string(multiprocessors()) + " multiprocessors, at most " +
               std::to_string(attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE) / 1000) + " MHz";
    }

    std::string driver() override {
        int version = 0;
        check(cuDriverGetVersion_(&version), "cuDriverGetVersion");
        const std::string cuda = "CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
        return driver_.empty() ? cuda : driver_ + " (" + cuda + ")";
    }

private:
    static void *find(void *library, const char *name) {
        void *function = dlsym(library, name);
        if (function) return function;
        std::fprintf(stderr, "gpu_bench: the driver has no %s\n", name);
        std::exit(3);
    }

    static void check(CUresult result, const char *what) {
        if (result != CUDA_SUCCESS) throw Failure(std::string(what) + ": CUresult " + std::to_string(result));
    }

    int attribute(CUdevice_attribute which) {
        int value = 0;
        check(cuDeviceGetAttribute_(&value, which, device_), "cuDeviceGetAttribute");
        return value;
    }

    // Clock and version of the driver are known to another library; without it they are left out.
    void open_nvml() {
        void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
        if (!library) return;
        const auto init = reinterpret_cast<int (*)()>(dlsym(library, "nvmlInit_v2"));
        const auto handle =
            reinterpret_cast<int (*)(unsigned, void **)>(dlsym(library, "nvmlDeviceGetHandleByIndex_v2"));
        const auto version = reinterpret_cast<int (*)(char *, unsigned)>(dlsym(library, "nvmlSystemGetDriverVersion"));
        if (!init || !handle || !version || init() != 0 || handle(0, &nvml_device_) != 0) return;
        char text[96] = "";
        if (version(text, sizeof text) == 0) driver_ = text;
        nvml_clock_ = reinterpret_cast<int (*)(void *, int, unsigned *)>(dlsym(library, "nvmlDeviceGetClockInfo"));
    }

    CUdevice device_ = 0;
    CUstream stream_ = nullptr;
    CUevent begin_ = nullptr, end_ = nullptr;
    std::string driver_;
    void *nvml_device_ = nullptr;
    int (*nvml_clock_)(void *, int, unsigned *) = nullptr;

    decltype(&::cuInit) cuInit_;
    decltype(&::cuDeviceGet) cuDeviceGet_;
    decltype(&::cuDeviceGetName) cuDeviceGetName_;
    decltype(&::cuDeviceGetAttribute) cuDeviceGetAttribute_;
    decltype(&::cuDevicePrimaryCtxRetain) cuDevicePrimaryCtxRetain_;
    decltype(&::cuCtxSetCurrent) cuCtxSetCurrent_;
    decltype(&::cuDriverGetVersion) cuDriverGetVersion_;
    decltype(&::cuStreamCreate) cuStreamCreate_;
    decltype(&::cuStreamBeginCapture) cuStreamBeginCapture_;
    decltype(&::cuStreamEndCapture) cuStreamEndCapture_;
    decltype(&::cuStreamSynchronize) cuStreamSynchronize_;
    decltype(&::cuGraphGetNodes) cuGraphGetNodes_;
    decltype(&::cuGraphInstantiateWithFlags) cuGraphInstantiateWithFlags_;
    decltype(&::cuGraphLaunch) cuGraphLaunch_;
    decltype(&::cuGraphExecDestroy) cuGraphExecDestroy_;
    decltype(&::cuGraphDestroy) cuGraphDestroy_;
    decltype(&::cuEventCreate) cuEventCreate_;
    decltype(&::cuEventRecord) cuEventRecord_;
    decltype(&::cuEventSynchronize) cuEventSynchronize_;
    decltype(&::cuEventElapsedTime) cuEventElapsedTime_;
};
