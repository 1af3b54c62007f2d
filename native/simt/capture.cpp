#include "simt/capture.h"

#include "nf4j.h"

#include <utility>

namespace nf4j::simt {

namespace {

thread_local Capture *capturing = nullptr;

}  // namespace

Capture::Capture() { capturing = this; }

Capture::~Capture() { end(); }

Capture *Capture::active() { return capturing; }

void Capture::add(const char *name, std::function<int32_t()> work) { nodes_.push_back({name, std::move(work)}); }

void Capture::end() {
    if (capturing == this) capturing = nullptr;
}

int32_t Capture::replay() const {
    for (const Node &node : nodes_) {
        const int32_t status = node.work();
        if (status != NF4J_OK) return status;
    }
    return NF4J_OK;
}

std::vector<std::string> Capture::names() const {
    std::vector<std::string> names;
    for (const Node &node : nodes_) names.push_back(node.name);
    return names;
}

}  // namespace nf4j::simt
