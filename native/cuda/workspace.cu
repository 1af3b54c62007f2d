#include "cuda/device.h"

namespace nf4j::cuda {

void *workspace(const nf4j_stream *stream, const char *operation, int64_t bytes) {
    if (bytes <= stream->workspace_bytes) return stream->workspace;
    fail(NF4J_OUT_OF_MEMORY, "%s: needs a workspace of %lld bytes, the stream has %lld", operation,
         static_cast<long long>(bytes), static_cast<long long>(stream->workspace_bytes));
    return nullptr;
}

}  // namespace nf4j::cuda
