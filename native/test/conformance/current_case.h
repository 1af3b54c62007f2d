// What is said of a case in whose midst the run ends: by a crash, an assertion or a sanitizer.
#pragma once

#include <string>

namespace conformance {

// The text for the case that runs from now on; empty after the last one.
void set_current_case(const std::string &text);
// Writes it to the standard error, where must() ends the run; signals and sanitizers do so themselves.
void print_current_case();

}  // namespace conformance
