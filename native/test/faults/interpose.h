/* Lets the n-th allocation that libnf4j makes fail, or the n-th launch of libnf4j-simt, and counts what they have not given back. The
 * libraries that are tested are the released ones: this one stands before them and libc (linked first, or LD_PRELOAD) and looks at who
 * calls. */
#ifndef NF4J_INTERPOSE_H
#define NF4J_INTERPOSE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The n-th of the calls from now on fails: malloc, posix_memalign, mmap or pthread_create. 0 lets all succeed. Resets the count. */
void nf4j_fault_at(int64_t n);
/* Such calls since nf4j_fault_at. */
int64_t nf4j_fault_calls(void);
/* Pieces of memory and mappings that both libraries hold at this moment. */
int64_t nf4j_fault_live(void);

/* The n-th launch, copy or wait of libnf4j-simt from now on ends with `status` (nf4j_status). 0 lets all succeed. Resets the count. */
void nf4j_fault_driver_at(int64_t n, int32_t status);
/* Such launches, copies and waits since nf4j_fault_driver_at. */
int64_t nf4j_fault_driver_calls(void);
/* What libnf4j-simt asks before each (simt/driver.cpp). */
int32_t nf4j_simt_driver(const char *what);

#ifdef __cplusplus
}
#endif

#endif
