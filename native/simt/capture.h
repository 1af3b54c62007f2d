// What a CUDA graph is on a GPU: while a stream is captured, launches and copies are written down instead of run, and can
// be run again and again. Tests prove with it that operations do nothing else: in a capture, allocating and waiting are
// refused.
#pragma once

#include "core/backend.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace nf4j::simt {

class Capture {
public:
    // The stream's, or null.
    static Capture *of(const nf4j_stream *stream) { return stream ? static_cast<Capture *>(stream->impl) : nullptr; }

    void add(const char *name, std::function<int32_t()> work);
    // Runs all of it in order; returns the first status that is not NF4J_OK.
    int32_t replay() const;

    // The name of each launch and copy.
    std::vector<std::string> names() const;

private:
    struct Node {
        std::string name;
        std::function<int32_t()> work;
    };
    std::vector<Node> nodes_;
};

}  // namespace nf4j::simt
