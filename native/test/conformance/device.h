// Devices under test, and matrices in their memory.
#pragma once

#include "problem.h"

#include <memory>

namespace conformance {

// A backend, with one instruction set or one of simt's devices, and why it cannot be opened here.
struct Target {
    int32_t backend;
    int32_t isa;
    int32_t ordinal;
    std::string name;
    std::string arguments;  // of the command line, to choose it
    std::string missing;    // empty when it can be opened
};

// Those that a command line asks for, "all" being each one there is.
std::vector<Target> find_targets(const std::string &backend, const std::string &isa);

// An open device with two streams.
class Session {
public:
    Session(const Target &target, int32_t threads);
    ~Session();
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    nf4j_device *device = nullptr;
    nf4j_stream *streams[2] = {};
    int32_t threads;
    bool has_graphs;
};

// Ends the program where the library refuses what the suite itself needs.
void must(int32_t status, const char *what);

// What a run left behind.
struct Outcome {
    int32_t status = NF4J_OK;
    std::string problem;                     // why it failed, or empty
    std::vector<std::vector<char>> outputs;  // their elements, row after row; empty for inputs
};

// Uploads the matrices, calls, and reads what came out. It is a failure when anything but the outputs changed: the
// inputs, the gaps between rows, or the bands before and after each matrix.
Outcome run(const Problem &problem, const Invoke &invoke, const Session &session, int stream);

}  // namespace conformance
