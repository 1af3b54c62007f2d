#pragma once

namespace nf4j::simt {

// Where a kernel does something. As a default argument, here() is the place of the call.
struct Place {
    const char *file;
    int line;

    static constexpr Place here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

}  // namespace nf4j::simt
