// How many threads are worth starting.
#pragma once

namespace nf4j::cpu {

// The processors that this process may use: its affinity mask, and the CPU quota of its control group (v1 or v2) and of every
// group above, rounded up. At least 1.
int available_cores();

// The smallest quota in cores of the groups listed in the file `membership` (/proc/self/cgroup), in the hierarchy mounted at `root`
// (/sys/fs/cgroup); 0 where there is none.
int cgroup_cores(const char *membership, const char *root);

}  // namespace nf4j::cpu
