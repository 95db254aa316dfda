// Files for their owner's eyes.
#pragma once
#include "base/files.h"

namespace tenth {

// As write_file_unsynced, into a file that its owner alone may read (0600).
void write_private_file_unsynced(const Path& path, std::span<const std::byte> bytes);

}  // namespace tenth
