// What the cuda backend asks of a GPU's runtime, on the GPU that fake_runtime.cpp pretends to be: operations only launch, on the stream that they
// get, and paged memory is fetched ahead.
#include "fake_gpu.h"

#include <functional>
#include <utility>

using namespace nf4j::test;

namespace {

// ---- operations

// Calls that do not just queue something. Kernels with much shared memory ask for it, each once.
int64_t other_calls() { return all_calls() - calls_of("launch") - calls_of("copy") - calls_of("code"); }

// Every operation, but for import and export, whose other end is host memory: it queues, on the stream that its caller has made, and neither
// allocates, nor waits, nor chooses a device.
void test_operations_only_launch() {
    int foreign = 0;  // a stream of somebody else's is an address, no more
    const Opened on(&foreign);
    check(calls_of("stream") == 0, "there was a stream, and another one was made");
    {
        constexpr int64_t m = 16, n = 128, rank = 8;
        Memory memory(on);
        const nf4j_tensor x = memory.matrix(m, n), y = memory.matrix(m, n), dy = memory.matrix(m, n),
                          dx = memory.matrix(m, n), dense = memory.matrix(n, n), source = memory.matrix(n, n, NF4J_F32),
                          u = memory.matrix(m, rank, NF4J_F32), a = memory.matrix(rank, n, NF4J_F32),
                          b = memory.matrix(n, rank, NF4J_F32), da = memory.matrix(rank, n, NF4J_F32),
                          db = memory.matrix(n, rank, NF4J_F32), gain = memory.matrix(1, n),
                          dgain = memory.matrix(1, n, NF4J_F32), of_tokens = memory.matrix(1, m, NF4J_F32),
                          angles = memory.matrix(m, 64, NF4J_F32), frequencies = memory.matrix(1, 32, NF4J_F32),
                          ids = memory.matrix(1, m, NF4J_I32), dtable = memory.matrix(n, n, NF4J_F32),
                          lse = memory.matrix(m, 2, NF4J_F32), dk = memory.matrix(m, n), dv = memory.matrix(m, n),
                          norm = memory.matrix(1, 2, NF4J_F32);
        const nf4j_nf4_weight weight = memory.weight(n, n);
        nf4j_linear base = {}, head = {};
        base.struct_size = head.struct_size = sizeof base;
        base.nf4 = &weight;
        head.dense = &dense;
        nf4j_lora adapter = {};
        adapter.struct_size = sizeof adapter;
        adapter.alpha = rank;
        adapter.a = &a;
        adapter.b = &b;
        const nf4j_lora *const adapters[] = {&adapter};
        const nf4j_tensor *const us[] = {&u};
        nf4j_matmul_options plain = {};
        plain.struct_size = sizeof plain;
        plain.transpose_b = 1;
        plain.alpha = 1;
        const int32_t offsets[] = {0, m};
        nf4j_attention_options heads = {};
        heads.struct_size = sizeof heads;
        heads.heads = heads.kv_heads = 2;
        heads.head_dim = 64;
        heads.scale = 0.125f;
        heads.sequences = 1;
        heads.q_offsets = offsets;
        const nf4j_adamw_options adamw = {sizeof adamw, 0.1f, 0.9f, 0.999f, 1e-8f, 0, 1, nullptr};
        const nf4j_adamw_parameter parameter = memory.parameter(1000);
        auto *step = static_cast<nf4j_adamw_step *>(memory.bytes(sizeof(nf4j_adamw_step)));
        nf4j_stream *const s = on.stream;
        const std::pair<const char *, std::function<int32_t()>> operations[] = {
            {"memory_copy", [&] { return nf4j_memory_copy(s, &x, &y); }},
            {"memory_fill", [&] { return nf4j_memory_fill(s, 1, &y); }},
            {"memory_cast", [&] { return nf4j_memory_cast(s, &source, &dense); }},
            {"memory_add", [&] { return nf4j_memory_add(s, &x, &x, &y); }},
            {"nf4_quantize", [&] { return nf4j_nf4_quantize(s, &source, &weight); }},
            {"nf4_dequantize", [&] { return nf4j_nf4_dequantize(s, &weight, 0, &dense); }},
            {"nf4_matmul", [&] { return nf4j_nf4_matmul(s, &x, &weight, nullptr, &y); }},
            {"nf4_matmul_backward", [&] { return nf4j_nf4_matmul_backward(s, &dy, &weight, &dx); }},
            {"dense_matmul", [&] { return nf4j_dense_matmul(s, &plain, &x, &dense, nullptr, &y); }},
            {"lora_forward", [&] { return nf4j_lora_forward(s, &x, &base, &adapter, &u, &y); }},
            {"lora_project", [&] { return nf4j_lora_project(s, &x, adapters, 1, us); }},
            {"lora_apply", [&] { return nf4j_lora_apply(s, &x, &base, &adapter, &u, &y); }},
            {"lora_backward", [&] { return nf4j_lora_backward(s, &x, &dy, &u, &base, &adapter, 0, &da, &db, &dx); }},
            {"norm_forward", [&] { return nf4j_norm_forward(s, &x, &gain, 1e-5f, &of_tokens, &y); }},
            {"norm_backward", [&] { return nf4j_norm_backward(s, &dy, &x, &gain, &of_tokens, 0, &dgain, &dx); }},
            {"rope_table", [&] { return nf4j_rope_table(s, &ids, &frequencies, 1, &angles); }},
            {"rope_forward", [&] { return nf4j_rope_forward(s, &x, &angles, &y); }},
            {"rope_backward", [&] { return nf4j_rope_backward(s, &dy, &angles, &dx); }},
            {"attention_forward", [&] { return nf4j_attention_forward(s, &heads, &x, &x, &x, &lse, &y); }},
            {"attention_backward",
             [&] { return nf4j_attention_backward(s, &heads, &x, &x, &x, &lse, &y, &dy, &dx, &dk, &dv); }},
            {"mlp_swiglu_forward", [&] { return nf4j_mlp_swiglu_forward(s, &x, &dy, &y); }},
            {"mlp_swiglu_backward", [&] { return nf4j_mlp_swiglu_backward(s, &dy, &x, &y, &dx, &dk); }},
            {"embedding_forward", [&] { return nf4j_embedding_forward(s, &ids, &dense, &y); }},
            {"embedding_backward", [&] { return nf4j_embedding_backward(s, &ids, &dy, &dtable); }},
            {"loss_linear_cross_entropy",
             [&] { return nf4j_loss_linear_cross_entropy(s, &x, &head, &ids, 1, &of_tokens, &dx); }},
            {"optim_global_norm", [&] { return nf4j_optim_global_norm(s, &parameter, 1, 1, &norm); }},
            {"optim_adamw_step", [&] { return nf4j_optim_adamw_step(s, &adamw, step); }},
            {"optim_adamw", [&] { return nf4j_optim_adamw(s, &adamw, &parameter, 1, nullptr); }},
        };
        for (const auto &[name, call] : operations) {
            const int64_t others = other_calls(), queued = calls_of("launch") + calls_of("copy");
            must(on.fill(), "memory_fill");
            must(call(), name);
            check(calls_of("launch") + calls_of("copy") > queued + 1, "%s queued nothing", name);
            check(other_calls() == others, "%s made %lld calls that do not just queue something", name,
                  static_cast<long long>(other_calls() - others));
            check(asked_stream() == &foreign, "%s: not on the stream that it got", name);
        }
    }
    on.close();
    check(calls_of("stream") == 0, "a stream of somebody else's was destroyed");
    check(pieces() == 0, "memory is lost");
}

// One launch for the adapters of a large model, more where the list is longer than a launch's arguments.
void test_adamw_launches() {
    const Opened on;
    {
        Memory memory(on);
        const std::vector<nf4j_adamw_parameter> parameters(1025, memory.parameter(5000));
        const nf4j_adamw_options options = {sizeof options, 0.1f, 0.9f, 0.999f, 1e-8f, 0, 1, nullptr};
        constexpr int64_t lists[][2] = {{1, 1}, {512, 1}, {513, 2}, {1024, 2}, {1025, 3}};  // parameters, launches
        for (const auto &[count, wanted] : lists) {
            const int64_t before = calls_of("launch");
            must(nf4j_optim_adamw(on.stream, &options, parameters.data(), count, nullptr), "optim_adamw");
            check(calls_of("launch") - before == wanted, "%lld parameters took %lld launches",
                  static_cast<long long>(count), static_cast<long long>(calls_of("launch") - before));
        }
    }
    on.close();
}

// Large copies within the device are a kernel; where host or paged memory takes part, or rows are apart, they are the runtime's.
void test_copies() {
    const Opened on;
    constexpr int64_t rows = 64, cols = 512, bytes = rows * cols * 4;
    void *from = nullptr, *to = nullptr, *paged = nullptr;
    must(nf4j_memory_alloc(on.device, bytes, &from), "memory_alloc");
    must(nf4j_memory_alloc(on.device, bytes, &to), "memory_alloc");
    must(nf4j_memory_alloc_paged(on.device, bytes, &paged), "memory_alloc_paged");
    static float host[rows * cols];
    const auto is_launch = [&](const void *source, void *target, int64_t count, int64_t ld) {
        const nf4j_tensor src = {const_cast<void *>(source), count, cols, ld, NF4J_F32, 0};
        const nf4j_tensor dst = {target, count, cols, cols, NF4J_F32, 0};
        const int64_t launches = calls_of("launch"), copies = calls_of("copy");
        must(nf4j_memory_copy(on.stream, &src, &dst), "memory_copy");
        check(calls_of("launch") + calls_of("copy") == launches + copies + 1, "a copy is not one call");
        return calls_of("launch") > launches;
    };
    check(is_launch(from, to, rows, cols), "a copy within the device was the runtime's");
    check(!is_launch(from, to, rows / 8, cols), "a small copy was a launch");
    check(!is_launch(from, to, rows / 2 - 1, 2 * cols), "a copy of rows that are apart was a launch");
    check(!is_launch(host, to, rows, cols), "a copy from the host was a launch");
    check(!is_launch(from, host, rows, cols), "a copy to the host was a launch");
    check(!is_launch(from, paged, rows, cols), "a copy to paged memory was a launch");
    for (void *memory : {from, to, paged}) must(nf4j_memory_free(on.device, memory), "memory_free");
    on.close();
}

// ---- paged memory

// Managed memory is fetched ahead, but not into a graph; other memory is where it is.
void test_prefetch() {
    const Opened on;
    constexpr int64_t bytes = 1 << 16;
    void *paged = nullptr;
    must(nf4j_memory_alloc_paged(on.device, bytes, &paged), "memory_alloc_paged");
    const auto fetched = [&](void *data, int64_t count) {
        const int64_t before = calls_of("prefetch");
        must(nf4j_memory_prefetch(on.stream, data, count), "memory_prefetch");
        return calls_of("prefetch") - before;
    };
    check(fetched(paged, bytes) == 1, "managed memory was not fetched");
    check(fetched(on.memory, 64) == 0, "the device's own memory was fetched");
    nf4j_graph *graph = nullptr;
    must(nf4j_graph_begin(on.stream), "graph_begin");
    check(fetched(paged, bytes) == 0, "memory was fetched while the stream was captured");
    must(nf4j_graph_end(on.stream, &graph), "graph_end");
    must(nf4j_graph_destroy(graph), "graph_destroy");
    check(fetched(paged, bytes) == 1, "managed memory was not fetched after a capture");
    must(nf4j_memory_free(on.device, paged), "memory_free of managed memory");

    fake("FAKE_PAGING", 0);
    must(nf4j_memory_alloc_paged(on.device, bytes, &paged), "memory_alloc_paged of pinned memory");
    check(fetched(paged, bytes) == 0, "pinned memory was fetched");
    must(nf4j_memory_free(on.device, paged), "memory_free of pinned memory");
    on.close();
    check(pieces() == 0, "memory is lost");
}

}  // namespace

int main() {
    setenv("NF4J_CUBLAS", "none", 1);  // a real one would find no GPU
    return run_each({test_operations_only_launch, test_adamw_launches, test_copies, test_prefetch}, "gpu_calls_test");
}
