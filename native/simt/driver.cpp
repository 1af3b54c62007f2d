#include "simt/driver.h"

#include "core/backend.h"

// It refuses nothing. Weak and exported, so that a test's library that was loaded before answers in its place
// (test/faults/interpose.c).
extern "C" __attribute__((weak, visibility("default"))) int32_t nf4j_simt_driver(const char *) { return NF4J_OK; }

namespace nf4j::simt {

int32_t ask_driver(const char *what) {
    const int32_t status = nf4j_simt_driver(what);
    if (status == NF4J_OK) return NF4J_OK;
    return fail(status, "simt: %s: %s", what,
                status == NF4J_DEVICE_LOST ? "the device is lost" : "the driver refuses it");
}

}  // namespace nf4j::simt
