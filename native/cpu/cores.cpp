#include "cpu/cores.h"

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace nf4j::cpu {

namespace {

// The first line of a file, or an empty string.
std::string first_line(const std::string &path) {
    char line[256] = "";
    if (FILE *file = std::fopen(path.c_str(), "re")) {
        if (std::fgets(line, sizeof line, file) == nullptr) {
            line[0] = 0;
        }
        std::fclose(file);
    }
    return line;
}

// The quota of one group in cores, rounded up; 0 = none. Version 2 has "quota period" or "max period" in one file.
int group_cores(const std::string &group, bool unified) {
    long long quota = 0, period = 0;
    if (unified) {
        if (std::sscanf(first_line(group + "/cpu.max").c_str(), "%lld %lld", &quota, &period) != 2) {
            return 0;
        }
    } else if (std::sscanf(first_line(group + "/cpu.cfs_quota_us").c_str(), "%lld", &quota) != 1 ||
               std::sscanf(first_line(group + "/cpu.cfs_period_us").c_str(), "%lld", &period) != 1) {
        return 0;
    }
    return quota > 0 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 0;
}

// Whether the comma-separated list names the controller "cpu".
bool has_cpu(const std::string &controllers) {
    return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

int smaller_limit(int a, int b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

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
        std::string group = path;
        while (true) {
            if (unified) {
                cores = smaller_limit(cores, group_cores(root + group, true));
            } else {
                cores = smaller_limit(cores, group_cores(std::string(root) + "/cpu" + group, false));
            }
            const size_t slash = group.rfind('/');
            if (slash == std::string::npos) {
                break;
            }
            group.resize(slash);
        }
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
