// The cpu backend as a device: its threads, its memory and the choice of the instruction set.
#include "cpu/device.h"

#include "core/host.h"
#include "cpu/cores.h"
#include "cpu/isa_support.h"

#include <cstdio>

// Weak, and so null where it is not linked: a processor of another kind, or a build with fewer ISAS.
#define NF4J_DECLARE_TABLE(isa)           \
    namespace nf4j::cpu::isa {            \
    [[gnu::weak]] const Backend *table(); \
    }
NF4J_DECLARE_TABLE(generic)
NF4J_DECLARE_TABLE(avx2)
NF4J_DECLARE_TABLE(avx512)
NF4J_DECLARE_TABLE(avx512_bf16)
NF4J_DECLARE_TABLE(amx_bf16)
NF4J_DECLARE_TABLE(neon)
#undef NF4J_DECLARE_TABLE

namespace nf4j {

namespace {

// Best first.
constexpr int32_t isas[] = {NF4J_ISA_AMX_BF16, NF4J_ISA_AVX512_BF16, NF4J_ISA_AVX512,
                            NF4J_ISA_AVX2,     NF4J_ISA_NEON,        NF4J_ISA_GENERIC};

using Table = const Backend *(*)();

Table table_of(int32_t isa) {
    switch (isa) {
        case NF4J_ISA_GENERIC: return cpu::generic::table;
        case NF4J_ISA_AVX2: return cpu::avx2::table;
        case NF4J_ISA_AVX512: return cpu::avx512::table;
        case NF4J_ISA_AVX512_BF16: return cpu::avx512_bf16::table;
        case NF4J_ISA_AMX_BF16: return cpu::amx_bf16::table;
        case NF4J_ISA_NEON: return cpu::neon::table;
        default: return nullptr;
    }
}

}  // namespace

const Backend *cpu_backend(int32_t isa) {
    if (isa == NF4J_ISA_AUTO) {
        for (int32_t candidate : isas) {
            if (const Backend *backend = cpu_backend(candidate)) return backend;
        }
    }
    if (!cpu::isa_name(isa) || cpu::isa_missing(isa)) return nullptr;
    const auto table = table_of(isa);
    return table ? table() : nullptr;
}

namespace cpu {

ThreadPool &pool_of(const nf4j_stream *stream) { return *static_cast<ThreadPool *>(stream->device->impl); }

int32_t open(const nf4j_device_options *options, nf4j_device *device) {
    int32_t isa = options->isa;
    if (isa == NF4J_ISA_AUTO) {
        for (int32_t candidate : isas) {
            if (cpu_backend(candidate) == device->backend) isa = candidate;
        }
    }
    const int threads = options->threads > 0 ? options->threads : available_cores();
    ThreadPool *pool = ThreadPool::create(threads);
    if (!pool)
        return fail(NF4J_OUT_OF_MEMORY, "device_open: %d threads with their scratch memory cannot be had", threads);
    device->impl = pool;
    device->info.threads = threads;
    device->info.isa = isa;
    device->info.host_accessible = 1;
    std::snprintf(device->info.name, sizeof device->info.name, "cpu, %s, %d threads", isa_name(isa), threads);
    return NF4J_OK;
}

void close(nf4j_device *device) { delete static_cast<ThreadPool *>(device->impl); }

int32_t refresh_info(const nf4j_device *, nf4j_device_info *info) {
    host_memory(&info->total_memory, &info->free_memory);
    return NF4J_OK;
}

int32_t probe(char *text, int64_t capacity) {
    int64_t used = 0;
    for (int32_t isa : isas) {
        if (used >= capacity) break;
        const char *missing = isa_missing(isa);
        char answer[96] = "yes";
        if (missing) {
            std::snprintf(answer, sizeof answer, "no, this machine lacks %s", missing);
        } else if (!table_of(isa)) {
            std::snprintf(answer, sizeof answer, "no, this build leaves it out");
        }
        const int n =
            std::snprintf(text + used, static_cast<size_t>(capacity - used), "%s: %s\n", isa_name(isa), answer);
        used += n;
    }
    return NF4J_OK;
}

// Operations have finished when they return: a stream is no more than its workspace.
int32_t stream_create(nf4j_stream *) { return NF4J_OK; }
void stream_destroy(nf4j_stream *) {}
int32_t stream_synchronize(nf4j_stream *) { return NF4J_OK; }

int32_t alloc(nf4j_device *, int64_t bytes, void **data) { return host_alloc(bytes, data); }

int32_t free(nf4j_device *, void *data) {
    host_free(data);
    return NF4J_OK;
}

}  // namespace cpu

}  // namespace nf4j
