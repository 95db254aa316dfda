#include "train/samples.h"

#include "base/error.h"
#include "base/json.h"

namespace tenth {
namespace {

constexpr size_t kLongest = 4000;

// Whether the line is of the stage at the step or later; what is no record (a line cut by a kill) goes too.
bool is_later(std::string_view line, const std::string& stage, int64_t step) {
  try {
    const Json json = parse_json(line, kSamplesFile);
    return json.at("stage") == stage && json.at("step") >= step;
  } catch (const std::exception&) {
    return true;
  }
}

std::string kept_part(const Path& path, const std::string& stage, int64_t step) {
  if (!std::filesystem::exists(path)) return "";
  std::string text = read_file(path);
  size_t at = 0;
  for (size_t end; (end = text.find('\n', at)) != text.npos; at = end + 1)
    if (is_later(std::string_view(text).substr(at, end - at), stage, step)) break;
  text.resize(at);
  return text;
}

}  // namespace

void put_samples(const Path& run_dir, const std::string& stage, int64_t step, const std::vector<RunSample>& samples) {
  const Path path = run_dir / kSamplesFile;
  std::string text = kept_part(path, stage, step);
  for (const RunSample& sample : samples) {
    OrderedJson line = {{"stage", stage},
                        {"step", step},
                        {"prompt", sample.prompt.substr(0, kLongest)},
                        {"completion", sample.completion.substr(0, kLongest)}};
    if (sample.expected) line["expected"] = *sample.expected;
    if (sample.right) line["right"] = *sample.right;
    text += line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  }
  write_file_unsynced(path, text);
}

}  // namespace tenth
