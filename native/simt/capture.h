// What a CUDA graph is on a GPU: while a thread captures, launches and copies are written down instead of run, and can be
// run again and again. Tests prove with it that operations do nothing else: in a capture, allocating and waiting are
// refused as the CUDA runtime refuses them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace nf4j::simt {

class Capture {
public:
    Capture();
    ~Capture();
    Capture(const Capture &) = delete;
    Capture &operator=(const Capture &) = delete;

    // The calling thread's, or null.
    static Capture *active();

    void add(const char *name, std::function<int32_t()> work);
    // Ends the capture.
    void end();
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
