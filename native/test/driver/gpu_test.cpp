// What becomes of a GPU's failures: out of memory, devices that the build cannot use, and lost ones, on the GPU that fake_runtime.cpp pretends to
// be. Each in a process of its own, since a runtime that has lost its device stays so.
#include "fake_gpu.h"

#include <cstring>

using namespace nf4j::test;

namespace {

void test_working() {
    const Opened opened;
    check(probe().find("device 0: yes, Fake GPU, compute capability 8.0\n") == 0, "probe: %s", probe().c_str());
    must(opened.fill(), "memory_fill");
    must(nf4j_stream_synchronize(opened.stream), "stream_synchronize");
    opened.close();
    check(pieces() == 0 && streams() == 0, "memory or a stream is lost");
}

// Another framework's stream is worked on and waited for, and stays the framework's.
void test_foreign_stream() {
    int foreign = 0;  // nobody looks into a stream
    const Opened opened(&foreign);
    const auto expect_foreign = [&](int32_t status, const char *what) {
        must(status, what);
        check(asked_stream() == &foreign, "%s went to another stream", what);
    };
    expect_foreign(opened.fill(), "memory_fill");
    expect_foreign(opened.copy(), "memory_copy");
    expect_foreign(nf4j_stream_synchronize(opened.stream), "stream_synchronize");
    opened.close();
    check(streams() == 0, "a stream was made beside it, or it was destroyed");
}

// Every kind of memory names what was asked for, what is free and what there is; the device goes on.
void test_out_of_memory() {
    constexpr int64_t total = 64 << 20, too_much = total + 1;
    fake("FAKE_MEMORY", total);
    const Opened opened;
    const int64_t before = pieces();
    const auto expect_sizes = [&](int32_t status, const char *kind, const char *what) {
        expect(status, NF4J_OUT_OF_MEMORY, std::to_string(too_much) + " bytes of " + kind + " memory", what);
        nf4j_device_info info = {};
        info.struct_size = sizeof info;
        const std::string text = nf4j_last_error();
        must(nf4j_device_get_info(opened.device, &info), "device_get_info");
        check(text.find(std::to_string(info.free_memory) + " of the device's " + std::to_string(total) +
                        " bytes are free") != std::string::npos,
              "%s: %s", what, text.c_str());
    };
    void *data = &data;
    expect_sizes(nf4j_memory_alloc(opened.device, too_much, &data), "device", "memory_alloc");
    check(!data, "memory_alloc gave memory");
    expect_sizes(nf4j_memory_alloc_paged(opened.device, too_much, &data), "managed", "memory_alloc_paged");
    fake("FAKE_PAGING", 0);
    expect_sizes(nf4j_memory_alloc_paged(opened.device, too_much, &data), "pinned", "memory_alloc_paged");
    const nf4j_stream_options options = {sizeof options, 0, nullptr, too_much};
    nf4j_stream *stream = nullptr;
    expect_sizes(nf4j_stream_create(opened.device, &options, &stream), "device", "stream_create");
    check(!stream && pieces() == before, "something is left of what failed");
    must(opened.fill(), "memory_fill afterwards");
    must(nf4j_memory_alloc_paged(opened.device, total / 2, &data), "memory_alloc_paged afterwards");
    must(nf4j_memory_free(opened.device, data), "memory_free of pinned memory");
    // A launch may need memory, too: for the kernel's code.
    setenv("FAKE_FAILING", "launch", 1);
    fake("FAKE_ERROR", 2);
    expect(opened.fill(), NF4J_OUT_OF_MEMORY, "of the device's " + std::to_string(total) + " bytes are free",
           "memory_fill");
    unsetenv("FAKE_FAILING");
    opened.close();
    check(pieces() == 0, "memory is lost");
    fake("FAKE_MEMORY", 100);
    nf4j_device *device = nullptr;
    expect(Opened::open(&device), NF4J_OUT_OF_MEMORY, "out of memory, 100 of the device's 100 bytes are free",
           "device_open");
    check(!device, "device_open gave a device");
}

// Neither opens, and the probe says why.
void expect_unusable(const std::string &why) {
    nf4j_device *device = nullptr;
    expect(Opened::open(&device), NF4J_BACKEND_UNAVAILABLE, "cuda: " + why, "device_open");
    check(!device, "device_open gave a device");
    check(probe().find(why) == 0, "'%s' is not in: %s", why.c_str(), probe().c_str());
    check(pieces() == 0, "memory is lost");
    // Who asks for no backend gets the processor.
    const nf4j_device_options options = {sizeof options, NF4J_BACKEND_AUTO, 0, 1, NF4J_ISA_AUTO, 0};
    must(nf4j_device_open(&options, &device), "device_open of any backend");
    nf4j_device_info info = {};
    info.struct_size = sizeof info;
    must(nf4j_device_get_info(device, &info), "device_get_info");
    check(info.backend == NF4J_BACKEND_CPU, "backend %d was opened", info.backend);
    must(nf4j_device_close(device), "device_close");
}

void test_too_old() {
    fake("FAKE_CAPABILITY", 75);
    expect_unusable("device 0: no, Fake GPU, compute capability 7.5, 8.0 or newer is needed");
}

void test_no_code() {
    fake("FAKE_CAPABILITY", 120);
    fake("FAKE_CODE", 209);
    expect_unusable(
        "device 0: no, Fake GPU, compute capability 12.0, the code of this build cannot be loaded: no kernel image");
}

// An error that spoils nothing is the call's alone.
void test_call_that_fails() {
    const Opened opened;
    setenv("FAKE_FAILING", "launch", 1);
    fake("FAKE_ERROR", 9);
    expect(opened.fill(), NF4J_INTERNAL, "memory_fill", "memory_fill");
    unsetenv("FAKE_FAILING");
    must(opened.fill(), "memory_fill afterwards");
    opened.close();
}

// The call that hears of it and every later one say so, the runtime is not asked again, and all can be closed.
void test_lost(const char *failing, int error, int32_t (*call)(const Opened &)) {
    const Opened opened;
    setenv("FAKE_FAILING", failing, 1);
    fake("FAKE_ERROR", error);
    expect(call(opened), NF4J_DEVICE_LOST, "the device is lost", failing);

    const int64_t calls = all_calls();
    const std::string closed = "close what was made from it";
    expect(opened.fill(), NF4J_DEVICE_LOST, closed, "memory_fill");
    expect(opened.copy(), NF4J_DEVICE_LOST, closed, "memory_copy");
    expect(nf4j_stream_synchronize(opened.stream), NF4J_DEVICE_LOST, closed, "stream_synchronize");
    void *memory = nullptr;
    expect(nf4j_memory_alloc(opened.device, 64, &memory), NF4J_DEVICE_LOST, closed, "memory_alloc");
    expect(nf4j_memory_alloc_paged(opened.device, 64, &memory), NF4J_DEVICE_LOST, closed, "memory_alloc_paged");
    expect(nf4j_memory_prefetch(opened.stream, opened.memory, 64), NF4J_DEVICE_LOST, closed, "memory_prefetch");
    nf4j_stream *stream = nullptr;
    expect(nf4j_stream_create(opened.device, nullptr, &stream), NF4J_DEVICE_LOST, closed, "stream_create");
    nf4j_device_info info = {};
    info.struct_size = sizeof info;
    expect(nf4j_device_get_info(opened.device, &info), NF4J_DEVICE_LOST, closed, "device_get_info");
    check(!memory && !stream, "something was made on a lost device");
    check(all_calls() == calls, "%s: the runtime was asked again", failing);

    opened.close();
    nf4j_device *device = nullptr;
    const int32_t again = Opened::open(&device);
    check(again == NF4J_BACKEND_UNAVAILABLE && !device, "a process that lost its device opened it again: status %d",
          again);
}

template <int error>
void test_lost_in_a_wait() {
    test_lost("wait", error, [](const Opened &o) { return nf4j_stream_synchronize(o.stream); });
}

void test_lost_in_a_launch() {
    test_lost("launch", 700, [](const Opened &o) { return o.fill(); });
}

void test_lost_in_a_copy() {
    test_lost("copy", 719, [](const Opened &o) { return o.copy(); });
}

void test_lost_in_a_graph() {
    test_lost("graph", 700, [](const Opened &o) { return nf4j_graph_begin(o.stream); });
}

void test_lost_in_an_allocation() {
    test_lost("alloc", 700, [](const Opened &o) {
        void *memory;
        return nf4j_memory_alloc_paged(o.device, 64, &memory);
    });
}

void test_lost_in_a_question() {
    test_lost("info", 700, [](const Opened &o) {
        nf4j_device_info info = {};
        info.struct_size = sizeof info;
        return nf4j_device_get_info(o.device, &info);
    });
}

}  // namespace

int main() {
    setenv("NF4J_CUBLAS", "none", 1);  // a real one would find no GPU
    return run_each(
        {test_working, test_foreign_stream, test_out_of_memory, test_too_old, test_no_code, test_call_that_fails,
         test_lost_in_a_launch, test_lost_in_a_copy, test_lost_in_an_allocation, test_lost_in_a_graph,
         test_lost_in_a_question,
         // All that driver_types.h calls an inconsistent state of the process, and an assertion.
         test_lost_in_a_wait<226>, test_lost_in_a_wait<700>, test_lost_in_a_wait<702>, test_lost_in_a_wait<710>,
         test_lost_in_a_wait<714>, test_lost_in_a_wait<715>, test_lost_in_a_wait<716>, test_lost_in_a_wait<717>,
         test_lost_in_a_wait<718>, test_lost_in_a_wait<719>, test_lost_in_a_wait<911>},
        "gpu_test");
}
