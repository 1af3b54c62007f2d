// Out of memory at every allocation: the right status, nothing leaked, and the next call works.
#include "interpose.h"
#include "nf4j.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

namespace {

int checks = 0, failures = 0;

void check(bool ok, const char *what, int64_t n, const char *detail) {
    checks++;
    if (ok) return;
    failures++;
    std::fprintf(stderr, "FAILED: %s, allocation %lld: %s\n", what, static_cast<long long>(n), detail);
}

// Runs attempt(), which gives back all that it took, with its first, second, ... allocation failing until it succeeds.
void every_fault(const char *what, const std::function<int32_t()> &attempt) {
    for (int64_t n = 1;; n++) {
        const int64_t before = nf4j_fault_live();
        nf4j_fault_at(n);
        const int32_t status = attempt();
        const bool reached = nf4j_fault_calls() >= n;
        nf4j_fault_at(0);
        check(nf4j_fault_live() == before, what, n, "memory is lost");
        if (!reached) {
            check(status == NF4J_OK, what, n, nf4j_last_error());
            check(n > 1, what, n, "nothing is allocated, so nothing is tested");
            return;
        }
        check(status == NF4J_OUT_OF_MEMORY, what, n,
              status == NF4J_OK ? "the failure went unnoticed" : nf4j_last_error());
        check(std::strlen(nf4j_last_error()) > 10, what, n, "no sentence says so");
        check(attempt() == NF4J_OK, what, n, "it does not work afterwards");
    }
}

int32_t open(int32_t backend, nf4j_device **device) {
    const nf4j_device_options options = {sizeof options, backend, 0, 3, NF4J_ISA_AUTO, 0};
    return nf4j_device_open(&options, device);
}

// An operation allocates nothing, so that no fault can reach it.
void operations_allocate_nothing(int32_t backend) {
    nf4j_device *device = nullptr;
    nf4j_stream *stream = nullptr;
    if (open(backend, &device) || nf4j_stream_create(device, nullptr, &stream)) {
        check(false, "open", 0, nf4j_last_error());
        return;
    }
    std::vector<float> w(64 * 96, 0.5f), x(9 * 96, 1), y(9 * 64), a(4 * 96, 1), b(64 * 4, 1), u(9 * 4);
    std::vector<float> da(a.size()), db(b.size()), dx(x.size());
    const auto matrix = [](std::vector<float> &data, int64_t rows, int64_t cols) {
        return nf4j_tensor{data.data(), rows, cols, cols, NF4J_F32, 0};
    };
    const nf4j_tensor tw = matrix(w, 64, 96), tx = matrix(x, 9, 96), ty = matrix(y, 9, 64), ta = matrix(a, 4, 96),
                      tb = matrix(b, 64, 4), tu = matrix(u, 9, 4), tda = matrix(da, 4, 96), tdb = matrix(db, 64, 4),
                      tdx = matrix(dx, 9, 96);
    nf4j_nf4_weight weight = {sizeof weight, 1, 64, 96, 64, nullptr, 0};
    nf4j_nf4_weight_bytes(device, 64, 96, 64, 1, &weight.bytes);
    nf4j_memory_alloc(device, weight.bytes, &weight.data);
    const nf4j_linear base = {sizeof base, 0, nullptr, &weight, nullptr};
    const nf4j_lora lora = {sizeof lora, 0, 8, 0.25f, 7, &ta, &tb, nullptr};
    nf4j_fault_at(1);
    check(nf4j_nf4_quantize(stream, &tw, &weight) == NF4J_OK, "nf4_quantize", 0, nf4j_last_error());
    check(nf4j_lora_forward(stream, &tx, &base, &lora, &tu, &ty) == NF4J_OK, "lora_forward", 0, nf4j_last_error());
    const nf4j_lora *loras[] = {&lora};
    const nf4j_tensor *us[] = {&tu};
    check(nf4j_lora_project(stream, &tx, loras, 1, us) == NF4J_OK, "lora_project", 0, nf4j_last_error());
    check(nf4j_lora_apply(stream, &tx, &base, &lora, &tu, &ty) == NF4J_OK, "lora_apply", 0, nf4j_last_error());
    check(nf4j_lora_backward(stream, &tx, &ty, &tu, &base, &lora, 0, &tda, &tdb, &tdx) == NF4J_OK, "lora_backward", 0,
          nf4j_last_error());
    check(nf4j_fault_calls() == 0, "operations", nf4j_fault_calls(), "an operation allocates");
    nf4j_fault_at(0);
    nf4j_memory_free(device, weight.data);
    nf4j_stream_destroy(stream);
    nf4j_device_close(device);
}

}  // namespace

int main() {
    for (int32_t backend : {NF4J_BACKEND_REFERENCE, NF4J_BACKEND_CPU}) {
        nf4j_device *kept = nullptr;
        if (open(backend, &kept)) check(false, "open", 0, nf4j_last_error());
        every_fault("device_open", [=] {
            nf4j_device *device = nullptr;
            const int32_t status = open(backend, &device);
            return status == NF4J_OK ? nf4j_device_close(device) : status;
        });
        every_fault("stream_create", [=] {
            nf4j_stream *stream = nullptr;
            const int32_t status = nf4j_stream_create(kept, nullptr, &stream);
            return status == NF4J_OK ? nf4j_stream_destroy(stream) : status;
        });
        every_fault("memory_alloc", [=] {
            void *data = nullptr;
            const int32_t status = nf4j_memory_alloc(kept, 1000, &data);
            return status == NF4J_OK ? nf4j_memory_free(kept, data) : status;
        });
        every_fault("memory_alloc_paged", [=] {
            void *data = nullptr;
            const int32_t status = nf4j_memory_alloc_paged(kept, 1000, &data);
            return status == NF4J_OK ? nf4j_memory_free(kept, data) : status;
        });
        check(nf4j_device_close(kept) == NF4J_OK, "device_close", 0, nf4j_last_error());
        operations_allocate_nothing(backend);
    }
    std::printf("faults_test: %d checks, %d failures\n", checks, failures);
    return failures > 0;
}
