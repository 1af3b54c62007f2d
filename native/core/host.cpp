#include "core/host.h"

#include "core/backend.h"
#include "core/path.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace nf4j {

namespace {

// The number in a file that holds nothing else; -1 where there is none ("max", no such file).
int64_t number_in(const Path &path) {
    long long number = -1;
    if (FILE *file = std::fopen(path.text(), "re")) {
        if (std::fscanf(file, "%lld", &number) != 1) number = -1;
        std::fclose(file);
    }
    return number;
}

// Lowers total and free to the limit of one control group.
void apply_limit(int64_t limit, int64_t used, int64_t *total, int64_t *free) {
    if (limit < 0 || used < 0) return;
    *total = std::min(*total, limit);
    *free = std::min(*free, std::max<int64_t>(limit - used, 0));
}

// The limits of a group and of every group above it. In a container the path may be the host's while only our own group
// is mounted, at the root; the walk up ends there.
void apply_limits(const char *root, const char *path, const char *limit, const char *used, int64_t *total,
                  int64_t *free) {
    Path group("%s", path);
    do {
        apply_limit(number_in(Path("%s%s/%s", root, group.text(), limit)),
                    number_in(Path("%s%s/%s", root, group.text(), used)), total, free);
    } while (group.go_up());
}

}  // namespace

int32_t host_alloc(int64_t bytes, void **data) {
    *data = nullptr;
    if (bytes == 0) return NF4J_OK;
    if (posix_memalign(data, 64, static_cast<size_t>(bytes)) == 0) return NF4J_OK;
    *data = nullptr;
    return fail(NF4J_OUT_OF_MEMORY, "%lld bytes of memory cannot be allocated", static_cast<long long>(bytes));
}

void host_free(void *data) { std::free(data); }

void host_memory(int64_t *total, int64_t *free) {
    *total = 0;
    *free = 0;
    char line[4096];
    if (FILE *file = std::fopen("/proc/meminfo", "re")) {
        long long kib;
        while (std::fgets(line, sizeof line, file)) {
            if (std::sscanf(line, "MemTotal: %lld", &kib) == 1) *total = kib * 1024;
            if (std::sscanf(line, "MemAvailable: %lld", &kib) == 1) *free = kib * 1024;
        }
        std::fclose(file);
    }
    if (FILE *file = std::fopen("/proc/self/cgroup", "re")) {
        while (std::fgets(line, sizeof line, file)) {
            // "hierarchy:controllers:path"; the unified hierarchy (version 2) has no controllers.
            line[std::strcspn(line, "\n")] = 0;
            const char *unified = std::strstr(line, "::");
            const char *memory = std::strstr(line, ":memory:");
            if (unified) {
                apply_limits("/sys/fs/cgroup", unified + 2, "memory.max", "memory.current", total, free);
            } else if (memory) {
                apply_limits("/sys/fs/cgroup/memory", memory + 8, "memory.limit_in_bytes", "memory.usage_in_bytes",
                             total, free);
            }
        }
        std::fclose(file);
    }
}

}  // namespace nf4j
