/* A libcuda.so.1 that says what the environment tells it to, so that the ways in which a driver cannot be used are seen without one:
 * FAKE_CUDA_VERSION (13000 is 13.0) and FAKE_CUDA_INIT (what cuInit returns). It does nothing else. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { success = 0, not_initialized = 3 };

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static int unavailable(void) { return not_initialized; }

int cuInit(unsigned flags) {
    (void)flags;
    return number("FAKE_CUDA_INIT", success);
}

int cuDriverGetVersion(int *version) {
    *version = number("FAKE_CUDA_VERSION", 13000);
    return success;
}

/* The runtime asks for everything by name. */
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    (void)version;
    (void)flags;
    static const struct {
        const char *name;
        int (*function)();
    } known[] = {{"cuInit", (int (*)())cuInit},
                 {"cuDriverGetVersion", (int (*)())cuDriverGetVersion},
                 {"cuGetProcAddress", (int (*)())cuGetProcAddress_v2}};
    int (*found)() = unavailable;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) == 0) found = known[i].function;
    }
    memcpy(function, &found, sizeof found);
    if (status) *status = 0;
    return success;
}

int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
