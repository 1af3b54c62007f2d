#include "cpu/cores.h"

#include "core/path.h"

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace nf4j::cpu {

namespace {

// Reads up to two numbers from the first line of a file; returns how many there are.
int numbers_in(const Path &path, long long *first, long long *second) {
    int found = 0;
    if (FILE *file = std::fopen(path.text(), "re")) {
        found = std::fscanf(file, "%lld %lld", first, second);
        std::fclose(file);
    }
    return found;
}

// The quota of one group in cores, rounded up; 0 = none. Version 2 has "quota period" or "max period" in one file.
int group_cores(const Path &group, bool unified) {
    long long quota = 0, period = 0, none;
    if (unified) {
        if (numbers_in(Path("%s/cpu.max", group.text()), &quota, &period) != 2) return 0;
    } else if (numbers_in(Path("%s/cpu.cfs_quota_us", group.text()), &quota, &none) < 1 ||
               numbers_in(Path("%s/cpu.cfs_period_us", group.text()), &period, &none) < 1) {
        return 0;
    }
    return quota > 0 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 0;
}

// Whether the comma-separated list names the controller "cpu".
bool has_cpu(const char *controllers) {
    for (const char *name = controllers; name; name = std::strchr(name, ',')) {
        if (*name == ',') name++;
        if (std::strncmp(name, "cpu", 3) == 0 && (name[3] == ',' || name[3] == 0)) return true;
    }
    return false;
}

int smaller_limit(int a, int b) { return a == 0 || (b != 0 && b < a) ? b : a; }

}  // namespace

int cgroup_cores(const char *membership, const char *root) {
    FILE *file = std::fopen(membership, "re");
    if (file == nullptr) {
        return 0;
    }
    int cores = 0;
    char line[4096];
    while (std::fgets(line, sizeof line, file) != nullptr) {
        // "hierarchy:controllers:path"; the unified hierarchy has the number 0 and no controllers.
        line[std::strcspn(line, "\n")] = 0;
        char *controllers = std::strchr(line, ':');
        char *path = controllers == nullptr ? nullptr : std::strchr(controllers + 1, ':');
        if (path == nullptr) {
            continue;
        }
        *path++ = 0;
        controllers++;
        const bool unified = *controllers == 0;
        if (!unified && !has_cpu(controllers)) {
            continue;
        }
        // In a container the path may be the host's while only our own group is mounted, at the root: the walk up ends there.
        Path group("%s", path);
        do {
            const Path folder(unified ? "%s%s" : "%s/cpu%s", root, group.text());
            cores = smaller_limit(cores, group_cores(folder, unified));
        } while (group.go_up());
    }
    std::fclose(file);
    return cores;
}

int available_cores() {
    int cores = 0;
    // The mask must have room for the kernel's highest processor, which may be above that of cpu_set_t: ask with growing sets.
    for (int capacity = 1024; capacity <= 1 << 18 && cores == 0; capacity *= 4) {
        cpu_set_t *set = CPU_ALLOC(capacity);
        if (set == nullptr) {
            break;
        }
        if (sched_getaffinity(0, CPU_ALLOC_SIZE(capacity), set) == 0) {
            cores = CPU_COUNT_S(CPU_ALLOC_SIZE(capacity), set);
        }
        CPU_FREE(set);
    }
    if (cores == 0) {
        cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    }
    cores = smaller_limit(cores, cgroup_cores("/proc/self/cgroup", "/sys/fs/cgroup"));
    return cores < 1 ? 1 : cores;
}

}  // namespace nf4j::cpu
