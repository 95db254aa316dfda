// How much memory a process may still take.
#pragma once
#include <cstdint>

#include "base/files.h"

namespace tenth {

// Bytes: what the system could hand out without swapping (MemAvailable), or less where a control group (v1 or v2) of
// this process, or one around it, sets a limit; pages of files, which are given up on demand, count as free. Without
// any of these files: 2^63 - 1. root: "/", but in tests.
int64_t available_memory(const Path& root = "/");

}  // namespace tenth
