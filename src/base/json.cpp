#include "base/json.h"

#include <set>
#include <vector>

#include "base/error.h"

namespace tenth {

Json parse_json(std::string_view text, const std::string& where) {
  constexpr int kMaxDepth = 128;
  // The parser takes a NUL for the end of its input and would leave what follows unread.
  const size_t nul = text.find('\0');
  require(nul == text.npos, ErrorKind::kInput, "{}: not valid JSON: a NUL byte at {}", where, nul);
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    require(depth <= kMaxDepth, ErrorKind::kInput, "{}: expected nesting of at most {} levels", where, kMaxDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require(keys.back().insert(key).second, ErrorKind::kInput, "{}: key \"{}\" stands twice in one object", where,
              key);
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& e) {
    std::string_view reason = e.what();
    if (size_t bracket = reason.find("] "); bracket != reason.npos) reason.remove_prefix(bracket + 2);
    fail(ErrorKind::kInput, "{}: not valid JSON: {}", where, reason);
  }
}

Json read_json(const Path& path) { return parse_json(read_file(path), path.string()); }

}  // namespace tenth
