// The files of web/, compiled in (tools/embed.cmake writes their table).
#pragma once
#include <span>
#include <string_view>

namespace tenth {

struct WebFile {
  std::string_view name, text;
};
std::span<const WebFile> web_files();

}  // namespace tenth
