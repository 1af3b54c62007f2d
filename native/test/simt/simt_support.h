// Tests of simt's own objects, which stand here without libnf4j's core.
#pragma once

#include "core/backend.h"
#include "../support.h"

extern "C" const nf4j::Backend *nf4j_backend_entry(const nf4j::CoreServices *core);

namespace nf4j::test {

inline std::string last_report;

inline int32_t keep_report(int32_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));
inline int32_t keep_report(int32_t status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    last_report = text;
    return status;
}

// Makes last_report what simt's objects keep their errors in.
inline void connect() {
    static const CoreServices services = {sizeof(Backend), keep_report};
    if (!nf4j_backend_entry(&services)) std::exit(1);
}

// Lock-step, then adversarial ones.
constexpr const char *schedules[] = {"0", "1", "2", "3"};

inline void set_schedule(const char *schedule) { setenv("NF4J_SIMT_SCHEDULE", schedule, 1); }

}  // namespace nf4j::test
