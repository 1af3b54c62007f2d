// The memory of this machine, for the backends that compute on it.
#pragma once

#include <cstdint>

namespace nf4j {

// 64-byte aligned memory; returns a status.
int32_t host_alloc(int64_t bytes, void **data);
void host_free(void *data);

// Bytes that this process may use, its control group's limit included, and how many of them are free now.
void host_memory(int64_t *total, int64_t *free);

}  // namespace nf4j
