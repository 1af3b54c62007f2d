// Paths of files without the heap. They are read to learn how much memory there is, which may be none.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace nf4j {

class Path {
public:
    __attribute__((format(printf, 2, 3))) explicit Path(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(text_, sizeof text_, format, arguments);
        va_end(arguments);
    }

    const char *text() const { return text_; }

    // Cuts the last slash and what follows; false where there is none.
    bool go_up() {
        char *slash = std::strrchr(text_, '/');
        if (slash) *slash = 0;
        return slash != nullptr;
    }

private:
    char text_[4352];  // PATH_MAX, and a name
};

}  // namespace nf4j
