#include "core/loader.h"

#include "core/path.h"

#include <dlfcn.h>

#include <cstdio>
#include <mutex>

namespace nf4j {

namespace {

// A library in the folder that libnf4j itself was loaded from.
Path beside_us(const char *name) {
    Dl_info info;
    if (!dladdr(reinterpret_cast<const void *>(&nf4j_abi_version), &info) || !info.dli_fname) return Path("%s", name);
    Path folder("%s", info.dli_fname);
    return folder.go_up() ? Path("%s/%s", folder.text(), name) : Path("%s", name);
}

}  // namespace

const Backend *load_backend(int32_t id, char *text, int64_t capacity) {
    static std::mutex mutex;
    static const Backend *loaded[2];
    const std::lock_guard<std::mutex> lock(mutex);

    const bool cuda = id == NF4J_BACKEND_CUDA;
    const Backend *&backend = loaded[cuda ? 0 : 1];
    if (backend) return backend;

    const Path path = beside_us(cuda ? "libnf4j-cuda.so" : "libnf4j-simt.so");
    const auto refuse = [&](const char *reason) {
        std::snprintf(text, static_cast<size_t>(capacity), "%s cannot be loaded: %s", path.text(), reason);
        return nullptr;
    };
    void *library = dlopen(path.text(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return refuse(dlerror());
    const auto entry = reinterpret_cast<BackendEntry>(dlsym(library, "nf4j_backend_entry"));
    if (!entry) return refuse(dlerror());
    static const CoreServices services = {sizeof(Backend), &fail};
    backend = entry(&services);
    return backend ? backend : refuse("it was built for another version of libnf4j");
}

}  // namespace nf4j
