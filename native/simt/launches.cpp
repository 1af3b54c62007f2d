#include "simt/launches.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <tuple>

namespace nf4j::simt {

void note_launch(const Grid &grid) {
    static const char *const file = std::getenv("NF4J_SIMT_LAUNCHES");
    if (!file) return;
    static std::mutex mutex;
    static std::set<std::tuple<const void *, int, int64_t>> known;
    const std::lock_guard<std::mutex> lock(mutex);
    if (!known.insert({grid.code, grid.threads, grid.shared_bytes}).second) return;
    Dl_info library;
    std::FILE *out = std::fopen(file, "a");
    if (!out || !dladdr(grid.code, &library)) std::abort();  // somebody asked for it
    std::fprintf(out, "%s %tx %d %lld\n", library.dli_fname,
                 static_cast<const char *>(grid.code) - static_cast<const char *>(library.dli_fbase), grid.threads,
                 static_cast<long long>(grid.shared_bytes));
    std::fclose(out);
}

}  // namespace nf4j::simt
