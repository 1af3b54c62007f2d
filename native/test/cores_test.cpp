// How many cores a control group leaves, from folders that look like those of Linux.
#include "cpu/cores.cpp"  // which the library does not export

#include "support.h"

#include <sys/stat.h>

using namespace nf4j;
using namespace nf4j::test;

namespace {

char root[] = "/tmp/nf4j-cores-XXXXXX";

void put(const char *file, const char *text) {
    const std::string path = std::string(root) + "/" + file;
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        mkdir(path.substr(0, slash).c_str(), 0700);
    }
    FILE *out = std::fopen(path.c_str(), "w");
    must(out ? NF4J_OK : NF4J_INTERNAL, path.c_str());
    std::fputs(text, out);
    std::fclose(out);
}

void expect(const char *membership, int cores) {
    put("membership", membership);
    const int actual = cpu::cgroup_cores((std::string(root) + "/membership").c_str(), root);
    check(actual == cores, "%s: %d cores, expected %d", membership, actual, cores);
}

}  // namespace

int main() {
    must(mkdtemp(root) ? NF4J_OK : NF4J_INTERNAL, "mkdtemp");
    put("free/cpu.max", "max 100000\n");
    put("outer/cpu.max", "300000 100000\n");
    put("outer/inner/cpu.max", "150000 100000\n");
    put("outer/wide/cpu.max", "900000 100000\n");
    put("cpu/old/cpu.cfs_quota_us", "250000\n");
    put("cpu/old/cpu.cfs_period_us", "100000\n");
    put("cpu/unlimited/cpu.cfs_quota_us", "-1\n");
    put("cpu/unlimited/cpu.cfs_period_us", "100000\n");
    put("broken/cpu.max", "many\n");

    expect("0::/free\n", 0);
    expect("0::/outer\n", 3);
    expect("0::/outer/inner\n", 2);  // one and a half, rounded up
    expect("0::/outer/wide\n", 3);   // the group above is narrower
    expect("0::/elsewhere\n", 0);
    expect("0::/broken\n", 0);
    expect("4:cpu,cpuacct:/old\n0::/free\n", 3);
    expect("4:cpuset:/old\n", 0);
    expect("4:cpuacct,cpu:/old\n", 3);
    expect("4:cpu:/unlimited\n", 0);
    expect("no colons\n\n", 0);
    expect(("0::/" + std::string(4080, 'x') + "\n").c_str(), 0);
    check(cpu::cgroup_cores("/nowhere/at/all", root) == 0, "no such file");
    check(cpu::available_cores() >= 1, "cores of this machine");
    std::system(("rm -rf " + std::string(root)).c_str());
    return finish("cores_test");
}
