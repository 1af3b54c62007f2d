#include "simt/capture.h"

#include <utility>

namespace nf4j::simt {

void Capture::add(const char *name, std::function<int32_t()> work) { nodes_.push_back({name, std::move(work)}); }

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
