// What the tests on the pretended GPU share: what fake_runtime.cpp is told and tells, an open device and its memory, processes.
#pragma once

#include "../support.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

namespace nf4j::test {

// FAKE_... for the runtime.
inline void fake(const char *name, int64_t value) { setenv(name, std::to_string(value).c_str(), 1); }

// Calls a function that a pretended library has for its tests, once it is loaded.
template <typename Result, typename... Arguments>
Result ask(const char *library, const char *function, Arguments... arguments) {
    void *loaded = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    const auto found = reinterpret_cast<Result (*)(Arguments...)>(loaded ? dlsym(loaded, function) : nullptr);
    return check(found, "%s: %s", function, dlerror()) ? found(arguments...) : Result{};
}

constexpr char fake_runtime[] = FAKE_GPU "/libnf4j-cuda.so";

// What the runtime was asked: launch, copy, alloc, ..., or all.
inline int64_t calls_of(const char *what) { return ask<int64_t>(fake_runtime, "fake_calls_of", what); }
inline int64_t all_calls() { return ask<int64_t>(fake_runtime, "fake_calls"); }
// Allocations that are not freed.
inline int64_t pieces() { return ask<int64_t>(fake_runtime, "fake_pieces"); }
// Streams that were made and are not destroyed, and the one that was last asked for something since the last question.
inline int64_t streams() { return ask<int64_t>(fake_runtime, "fake_streams"); }
inline void *asked_stream() { return ask<void *>(fake_runtime, "fake_stream"); }

inline bool says(const std::string &text) { return std::strstr(nf4j_last_error(), text.c_str()) != nullptr; }

inline void expect(int32_t status, int32_t wanted, const std::string &text, const char *what) {
    check(status == wanted && says(text), "%s: status %d, expected %d; '%s' is not in: %s", what, status, wanted,
          text.c_str(), nf4j_last_error());
}

inline std::string probe() {
    char text[1024];
    must(nf4j_backend_probe(NF4J_BACKEND_CUDA, text, sizeof text), "backend_probe");
    return text;
}

struct Opened {
    nf4j_device *device = nullptr;
    nf4j_stream *stream = nullptr;
    void *memory = nullptr;
    nf4j_tensor tensor = {};

    static int32_t open(nf4j_device **device) {
        const nf4j_device_options options = {sizeof options, NF4J_BACKEND_CUDA, 0, 0, NF4J_ISA_AUTO, 0};
        return nf4j_device_open(&options, device);
    }
    explicit Opened(void *native_stream = nullptr) {
        const nf4j_stream_options options = {sizeof options, 0, native_stream, 1 << 20};
        must(open(&device), "device_open");
        must(nf4j_stream_create(device, &options, &stream), "stream_create");
        must(nf4j_memory_alloc(device, 64, &memory), "memory_alloc");
        tensor = {memory, 4, 4, 4, NF4J_F32, 0};
    }
    int32_t fill() const { return nf4j_memory_fill(stream, 1, &tensor); }
    int32_t copy() const {
        static float host[16];
        const nf4j_tensor to = {host, 4, 4, 4, NF4J_F32, 0};
        return nf4j_memory_copy(stream, &tensor, &to);
    }
    void close() const {
        must(nf4j_memory_free(device, memory), "memory_free");
        must(nf4j_stream_destroy(stream), "stream_destroy");
        must(nf4j_device_close(device), "device_close");
    }
};

// Matrices and weights in a device's memory, which this GPU shares with the host.
class Memory {
public:
    explicit Memory(const Opened &on) : on_(on) {}
    ~Memory() {
        for (void *piece : pieces_) must(nf4j_memory_free(on_.device, piece), "memory_free");
    }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    void *bytes(int64_t count) {
        void *data = nullptr;
        must(nf4j_memory_alloc(on_.device, count, &data), "memory_alloc");
        std::memset(data, 0, static_cast<size_t>(count));
        pieces_.push_back(data);
        return data;
    }
    nf4j_tensor matrix(int64_t rows, int64_t cols, int32_t dtype = NF4J_BF16, int64_t gap = 0) {
        const int64_t ld = cols + gap;
        return {bytes(rows * ld * (dtype == NF4J_BF16 ? 2 : 4)), rows, cols, ld, dtype, 0};
    }
    nf4j_nf4_weight weight(int64_t rows, int64_t cols) {
        nf4j_nf4_weight w = {sizeof w, 1, rows, cols, 64, nullptr, 0};
        must(nf4j_nf4_weight_bytes(on_.device, rows, cols, 64, 1, &w.bytes), "nf4_weight_bytes");
        w.data = bytes(w.bytes);
        return w;
    }
    nf4j_adamw_parameter parameter(int64_t n) {
        return {static_cast<float *>(bytes(n * 4)),
                static_cast<float *>(bytes(n * 4)),
                bytes(n * 4),
                bytes(n * 4),
                nullptr,
                n};
    }

private:
    const Opened &on_;
    std::vector<void *> pieces_;
};

// Each test in a process of its own: what the environment says, what is loaded and what is lost is its alone.
inline int run_each(std::initializer_list<void (*)()> tests, const char *name) {
    int number = 0;
    for (const auto test : tests) {
        const pid_t child = fork();
        if (child == 0) {
            test();
            std::exit(failures > 0 || checks == 0);
        }
        int status = -1;
        waitpid(child, &status, 0);
        check(status == 0, "test number %d of main() ended with status %x", ++number, static_cast<unsigned>(status));
    }
    return finish(name);
}

}  // namespace nf4j::test
