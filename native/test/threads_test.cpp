// Many threads: private devices, one shared device, and errors, which belong to the thread that made them.
#include "nf4j.h"
#include "test.h"

#include <dirent.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

namespace {

constexpr int64_t rows = 33, width = 96;

struct Buffers {
    std::vector<float> x = std::vector<float>(rows * width), y = x, product = std::vector<float>(rows * rows);

    explicit Buffers(int salt) {
        for (size_t i = 0; i < x.size(); i++) x[i] = static_cast<float>((static_cast<int>(i) * 7 + salt) % 11 - 5);
    }

    nf4j_tensor tensor(std::vector<float> &data, int64_t cols) { return {data.data(), rows, cols, cols, NF4J_F32, 0}; }
};

// x + x, then its product with itself; and a wrong call between them.
bool work(nf4j_stream *stream, Buffers &buffers) {
    const nf4j_tensor x = buffers.tensor(buffers.x, width), y = buffers.tensor(buffers.y, width);
    const nf4j_tensor product = buffers.tensor(buffers.product, rows);
    nf4j_matmul_options options = {sizeof options, 0, 1, 1, 0, 0};
    if (nf4j_memory_add(stream, &x, &x, &y) != NF4J_OK) return false;
    if (nf4j_memory_add(stream, &x, &product, &y) != NF4J_INVALID_ARGUMENT) return false;
    char expected[128];
    snprintf(expected, sizeof expected, "memory_add: b is [%d, %d], a is [%d, %d], expected the same shape",
             static_cast<int>(rows), static_cast<int>(rows), static_cast<int>(rows), static_cast<int>(width));
    if (strcmp(nf4j_last_error(), expected) != 0) return false;
    return nf4j_dense_matmul(stream, &options, &y, &y, nullptr, &product) == NF4J_OK;
}

nf4j_device *open_device(int32_t backend, int32_t threads) {
    const nf4j_device_options options = {sizeof options, backend, 0, threads, 0, 0};
    nf4j_device *device = nullptr;
    return nf4j_device_open(&options, &device) == NF4J_OK ? device : nullptr;
}

nf4j_stream *create_stream(nf4j_device *device) {
    const nf4j_stream_options options = {sizeof options, 0, nullptr, 1 << 20};
    nf4j_stream *stream = nullptr;
    return nf4j_stream_create(device, &options, &stream) == NF4J_OK ? stream : nullptr;
}

std::vector<float> alone(int32_t backend, int salt) {
    nf4j_device *device = open_device(backend, 1);
    nf4j_stream *stream = create_stream(device);
    Buffers buffers(salt);
    CHECK(work(stream, buffers), "alone: %s", nf4j_last_error());
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    return buffers.product;
}

// Every thread gets the bits of a thread that is alone.
void run_threads(int32_t backend, int threads, int repeats, bool shared) {
    std::vector<std::vector<float>> expected;
    for (int t = 0; t < threads; t++) expected.push_back(alone(backend, t));
    nf4j_device *common = open_device(backend, 3);
    std::atomic<int> ready{0}, wrong{0};
    std::vector<std::thread> running;
    for (int t = 0; t < threads; t++) {
        running.emplace_back([&, t] {
            for (ready++; ready < threads;) std::this_thread::yield();
            for (int i = 0; i < repeats; i++) {
                nf4j_device *device = shared ? common : open_device(backend, 2);
                nf4j_stream *stream = create_stream(device);
                Buffers buffers(t);
                if (!work(stream, buffers) || buffers.product != expected[static_cast<size_t>(t)]) wrong++;
                if (nf4j_stream_destroy(stream) != NF4J_OK) wrong++;
                if (!shared && nf4j_device_close(device) != NF4J_OK) wrong++;
            }
        });
    }
    for (std::thread &thread : running) thread.join();
    CHECK(wrong == 0, "backend %d, %s: %d of %d runs were wrong", backend, shared ? "one device" : "private devices",
          wrong.load(), threads * repeats);
    CHECK_OK(nf4j_device_close(common));
}

std::set<int> threads_of_this_process() {
    std::set<int> ids;
    if (DIR *tasks = opendir("/proc/self/task")) {
        while (const dirent *entry = readdir(tasks)) ids.insert(atoi(entry->d_name));
        closedir(tasks);
    }
    return ids;
}

// A worker that went to sleep on the caller's core may not wake there: it would wait for the caller to finish.
void keeps_workers_off_the_callers_core() {
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) {
        printf("skipped: workers beside their caller, this process may use one core only\n");
        return;
    }
    size_t core = 0;
    while (!CPU_ISSET(core, &all)) core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);

    const std::set<int> before = threads_of_this_process();
    nf4j_device *device = open_device(NF4J_BACKEND_CPU, 2);
    nf4j_stream *stream = create_stream(device);
    int worker = 0;
    for (int id : threads_of_this_process()) worker = before.count(id) ? worker : id;
    CHECK(worker != 0, "the device has no worker");
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0 && sched_setaffinity(worker, sizeof one, &one) == 0,
          "both cannot be bound to core %zu", core);

    cpu_set_t now = one;
    Buffers buffers(1);
    for (int i = 0; i < 1000 && CPU_ISSET(core, &now); i++) {
        CHECK(work(stream, buffers), "%s", nf4j_last_error());
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the worker falls asleep again
        sched_getaffinity(worker, sizeof now, &now);
    }
    CHECK(!CPU_ISSET(core, &now) && CPU_COUNT(&now) == CPU_COUNT(&all) - 1,
          "the worker may use %d cores, the caller's is %s", CPU_COUNT(&now),
          CPU_ISSET(core, &now) ? "one of them" : "none of them");
    CHECK_OK(nf4j_stream_destroy(stream));
    CHECK_OK(nf4j_device_close(device));
    sched_setaffinity(0, sizeof all, &all);
}

}  // namespace

int main() {
    keeps_workers_off_the_callers_core();
    for (int32_t backend : {NF4J_BACKEND_REFERENCE, NF4J_BACKEND_CPU}) {
        run_threads(backend, 8, 20, true);
        run_threads(backend, 8, 20, false);
    }
    return test_result("threads_test");
}
