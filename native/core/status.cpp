// The status text of the calling thread, and the versions.
#include "core/backend.h"

#include <cstdarg>
#include <cstdio>

namespace nf4j {

static thread_local char last_error[1024];

int32_t fail(int32_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return status;
}

}  // namespace nf4j

const char *nf4j_last_error(void) { return nf4j::last_error; }

int32_t nf4j_abi_version(void) { return NF4J_ABI_VERSION; }

const char *nf4j_version(void) { return "0.1.0"; }
