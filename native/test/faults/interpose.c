#define _GNU_SOURCE
#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static _Atomic int64_t fail_at, calls, driver_fail_at, driver_calls;
static _Atomic int32_t driver_status;

/* The pieces that are the libraries'. They free them themselves, but the JVM's own calls go through here as well: they are not found. */
enum { slots = 1 << 16 };
static void *_Atomic pieces[slots];
static _Atomic int64_t live;

static size_t slot_of(const void *memory) { return (size_t)((uintptr_t)memory >> 4) * 0x9e3779b97f4a7c15u >> 48; }

static void remember(void *memory) {
    for (size_t i = slot_of(memory);; i = (i + 1) % slots) {
        void *empty = NULL;
        if (atomic_compare_exchange_strong(&pieces[i], &empty, memory)) break;
    }
    live++;
}

/* Looks as far as any search for a free slot has gone: a removed neighbour leaves a hole. */
static void forget(void *memory) {
    for (size_t i = slot_of(memory), n = 0; n < 64; n++, i = (i + 1) % slots) {
        void *found = memory;
        if (atomic_compare_exchange_strong(&pieces[i], &found, NULL)) {
            live--;
            return;
        }
    }
}

enum caller { other, simt, nf4j };

static enum caller who_calls(const void *address) {
    Dl_info info;
    if (!dladdr(address, &info) || !info.dli_fname) return other;
    const char *slash = strrchr(info.dli_fname, '/'), *name = slash ? slash + 1 : info.dli_fname;
    return strcmp(name, "libnf4j.so") == 0 ? nf4j : strcmp(name, "libnf4j-simt.so") == 0 ? simt : other;
}

/* Whether this call is the one that fails. The fibers of simt allocate where no GPU does: nothing of theirs fails. */
static int fails(enum caller caller) { return caller == nf4j && ++calls == fail_at; }

void nf4j_fault_at(int64_t n) {
    calls = 0;
    fail_at = n;
}

int64_t nf4j_fault_calls(void) { return calls; }

int64_t nf4j_fault_live(void) { return live; }

void nf4j_fault_driver_at(int64_t n, int32_t status) {
    driver_calls = 0;
    driver_status = status;
    driver_fail_at = n;
}

int64_t nf4j_fault_driver_calls(void) { return driver_calls; }

int32_t nf4j_simt_driver(const char *what) {
    (void)what;
    return ++driver_calls == driver_fail_at ? driver_status : 0;
}

#define CALLER who_calls(__builtin_return_address(0))

void *malloc(size_t size) {
    const enum caller caller = CALLER;
    if (caller == other) return __libc_malloc(size);
    void *memory = fails(caller) ? NULL : __libc_malloc(size);
    if (memory) {
        remember(memory);
    } else {
        errno = ENOMEM;
    }
    return memory;
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    const enum caller caller = CALLER;
    void *taken = fails(caller) ? NULL : __libc_memalign(alignment, size);
    if (!taken) return ENOMEM;
    if (caller != other) remember(taken);
    *memory = taken;
    return 0;
}

void free(void *memory) {
    if (memory) forget(memory);
    __libc_free(memory);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    const enum caller caller = CALLER;
    if (fails(caller)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapped = (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
    if (caller != other && mapped != MAP_FAILED) remember(mapped);
    return mapped;
}

int munmap(void *address, size_t length) {
    forget(address);
    return (int)syscall(SYS_munmap, address, length);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    if (fails(CALLER)) return EAGAIN;
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    return next(thread, attributes, run, argument);
}
