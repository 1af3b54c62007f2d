/* Lets the n-th allocation that libnf4j makes fail, and counts what it has not given back. The library that is tested is the released
 * one: this one stands before libc (linked first, or LD_PRELOAD) and looks at who calls. */
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
/* Pieces of memory and mappings that libnf4j holds at this moment. */
int64_t nf4j_fault_live(void);

#ifdef __cplusplus
}
#endif

#endif
