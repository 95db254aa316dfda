#include "serve/runs_routes.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/ordered_json.h"
#include "base/utf8.h"
#include "serve/fields.h"
#include "serve/sse.h"

namespace tenth {
namespace {

constexpr size_t kMostRuns = 1000;
constexpr size_t kPiece = 1 << 20;   // of JSON lines, in one answer
constexpr size_t kWhole = 16 << 20;  // of a file that is sent whole
constexpr size_t kTail = 64 << 10;   // the last record of a run lies within

struct RunFile {
  const char *name, *file, *type;
  bool lines;
};
constexpr RunFile kFiles[] = {{"metrics", "metrics.jsonl", "application/jsonl", true},
                              {"samples", "samples.jsonl", "application/jsonl", true},
                              {"report", "report.md", "text/markdown; charset=utf-8", false},
                              {"summary", "summary.json", "application/json", false},
                              {"expert_load", "expert_load.json", "application/json", false}};

// A regular file, and no link to one: a run's folder may come from elsewhere.
std::optional<struct stat> facts_of(const Path& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  return facts;
}

std::string read_piece(const Path& path, size_t from, size_t most) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(std::streamoff(from));
  std::string y(most, '\0');
  file.read(y.data(), std::streamsize(most));
  y.resize(size_t(std::max<std::streamsize>(file.gcount(), 0)));
  return y;
}

// The folders that are runs, by name.
std::vector<std::string> run_names(const Path& root) {
  std::vector<std::string> names;
  std::error_code failed;
  for (std::filesystem::directory_iterator it(root, failed), end; !failed && it != end; it.increment(failed)) {
    std::string name = it->path().filename().string();
    if (names.size() == kMostRuns) break;
    if (well_formed_prefix(name) == name.size() && facts_of(it->path() / "metrics.jsonl"))
      names.push_back(std::move(name));
  }
  return names;
}

OrderedJson last_record(const Path& metrics, size_t size) {
  std::string tail = read_piece(metrics, size > kTail ? size - kTail : 0, kTail);
  tail.resize(tail.rfind('\n') == tail.npos ? 0 : tail.rfind('\n'));  // a line without its end is being written
  tail.erase(0, tail.rfind('\n') == tail.npos ? 0 : tail.rfind('\n') + 1);
  try {
    return parse_ordered_json(tail, "metrics");
  } catch (const Error&) {
    return OrderedJson::object();
  }
}

OrderedJson describe(const Path& folder, const std::string& name) {
  const auto facts = facts_of(folder / "metrics.jsonl");
  if (!facts) return nullptr;
  const double updated = double(facts->st_mtim.tv_sec) + 1e-9 * double(facts->st_mtim.tv_nsec);
  OrderedJson run = {{"name", name}};
  const OrderedJson record = last_record(folder / "metrics.jsonl", size_t(facts->st_size));
  for (const char* field : {"stage", "step", "wall"})
    if (record.is_object() && record.contains(field) && record[field].is_primitive()) run[field] = record[field];
  run["updated"] = updated;
  run["age"] = std::max(0.0, double(std::time(nullptr)) - updated);
  run["files"] = OrderedJson::array();
  for (const RunFile& file : kFiles)
    if (facts_of(folder / file.file)) run["files"].push_back(file.name);
  return run;
}

// Undoes %41; what is no such escape stays.
std::string percent_decoded(std::string_view text) {
  std::string y;
  for (size_t i = 0; i < text.size(); i++) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      y += char(value);
      i += 2;
    } else {
      y += text[i];
    }
  }
  return y;
}

size_t offset_of(const std::string& query) {
  if (query.empty()) return 0;
  constexpr std::string_view kName = "from=";
  size_t y = 0;
  const char* end = query.data() + query.size();
  const auto read = query.starts_with(kName) ? std::from_chars(query.data() + kName.size(), end, y)
                                             : std::from_chars_result{end, std::errc::invalid_argument};
  if (read.ptr != end || read.ec != std::errc())
    throw invalid_field("from", "expected the number of a byte, got \"" + query + "\"");
  return y;
}

// New lines of a file that grows.
void send_lines(const Call& call, const Path& path, const struct stat& facts, const char* type) {
  const size_t size = size_t(facts.st_size), from = std::min(offset_of(call.request.query), size);
  std::string text = read_piece(path, from, std::min(kPiece, size - from));
  const size_t last = text.rfind('\n');
  // A line longer than a piece would never end: it goes out in parts.
  if (last != text.npos || text.size() < kPiece) text.resize(last == text.npos ? 0 : last + 1);
  // A file that was begun anew has another first line (it tells the time), or is another file.
  const std::string first = read_piece(path, 0, 256);
  const size_t id = std::hash<std::string>()(first.substr(0, first.find('\n'))) ^ size_t(facts.st_ino);
  const std::string next = std::to_string(from + text.size());
  call.exchange->reply(200,
                       {{"Content-Type", type},
                        {"Cache-Control", "no-store"},
                        {"X-Next-Offset", next},
                        {"X-Run-Id", fmt::format("{:016x}", id)}},
                       std::move(text));
}

}  // namespace

void list_runs(const Call& call) {
  const Path root = call.runs;
  std::vector<OrderedJson> runs;
  if (!call.runs.empty())
    for (const std::string& name : run_names(root)) runs.push_back(describe(root / name, name));
  std::erase_if(runs, [](const OrderedJson& run) { return run.is_null(); });
  std::stable_sort(runs.begin(), runs.end(), [](const OrderedJson& a, const OrderedJson& b) {
    return a["updated"].get<double>() > b["updated"].get<double>();
  });
  reply_json(*call.exchange, 200, {{"runs", runs}}, {{"Cache-Control", "no-store"}});
}

void show_run(const Call& call) {
  const std::string rest = call.request.path.substr(std::string_view("/api/runs/").size());
  const size_t slash = rest.rfind('/');
  const std::string name = percent_decoded(rest.substr(0, slash));
  const std::string_view wanted = slash == rest.npos ? "" : std::string_view(rest).substr(slash + 1);
  const std::vector<std::string> names = call.runs.empty() ? std::vector<std::string>() : run_names(call.runs);
  if (std::find(names.begin(), names.end(), name) == names.end())
    throw ApiError(404, "not_found_error", fmt::format("there is no run \"{}\" here", name));
  for (const RunFile& file : kFiles) {
    if (file.name != wanted) continue;
    const Path path = Path(call.runs) / name / file.file;
    const auto facts = facts_of(path);
    if (!facts) throw ApiError(404, "not_found_error", fmt::format("the run \"{}\" has no {}", name, file.name));
    if (file.lines) return send_lines(call, path, *facts, file.type);
    return call.exchange->reply(
        200, {{"Content-Type", file.type}, {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}},
        read_piece(path, 0, kWhole));
  }
  throw ApiError(404, "not_found_error", fmt::format("there is no {} here", call.request.path));
}

}  // namespace tenth
