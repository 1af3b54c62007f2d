/* Stands before libnf4j where reports.sh wants something to fail: the forward pass of RMSNorm does nothing, or ends the run. */
#include "nf4j.h"

#include <stdlib.h>

int32_t nf4j_norm_forward(nf4j_stream *stream, const nf4j_tensor *x, const nf4j_tensor *weight, float eps,
                          const nf4j_tensor *rstd, const nf4j_tensor *y) {
    (void)stream, (void)x, (void)weight, (void)eps, (void)rstd, (void)y;
    if (getenv("BROKEN_BY_ABORT")) abort();
    return NF4J_OK;
}
