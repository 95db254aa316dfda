// What a mapped file takes of memory, for readers of files as large as the memory.
#pragma once
#include <cstddef>
#include <span>

namespace tenth {

// Asks the system to read ahead.
void want_pages(std::span<const std::byte> part);

// Gives back the memory of whole pages that lie in this part of a map: they are read again if they are touched again.
void give_back_pages(std::span<const std::byte> part);

}  // namespace tenth
