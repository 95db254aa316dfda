// JSON at the edges: nlohmann's parser behind a depth limit and errors that name the file and field.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/files.h"

namespace tenth {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // keeps the order of keys when written

// Throws kInput "<where>: …" on a syntax error, a nesting deeper than 128, or a key given twice in one object.
Json parse_json(std::string_view text, const std::string& where);
Json read_json(const Path& path);

}  // namespace tenth
