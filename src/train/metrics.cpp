#include "train/metrics.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace tenth {
namespace {

constexpr const char* kFileName = "metrics.jsonl";

std::string to_line(const MetricRecord& record) {
  // Milliseconds are enough, and keep a line readable.
  const auto rounded = [](double seconds) { return std::round(seconds * 1000) / 1000; };
  OrderedJson line = {
      {"step", record.step}, {"stage", record.stage}, {"wall", rounded(record.wall)}, {"time", rounded(record.time)}};
  for (const auto& [name, value] : record.values) {
    require(!line.contains(name), ErrorKind::kInternal, "metric {} of stage {} is written twice", name, record.stage);
    line[name] = value;  // nlohmann writes what is not finite as null
  }
  return line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

MetricRecord from_line(std::string_view text, const std::string& where) {
  const Json line = parse_json(text, where);
  require(line.is_object(), ErrorKind::kInput, "{}: expected an object, got {}", where, line.type_name());
  const auto field = [&](const char* name, bool (Json::*is)() const noexcept) -> const Json& {
    const auto found = line.find(name);
    require(found != line.end() && ((*found).*is)(), ErrorKind::kInput, "{}: {}: {}", where, name,
            found == line.end() ? "missing" : "has the wrong type");
    return *found;
  };
  MetricRecord record{.stage = field("stage", &Json::is_string).get<std::string>(),
                      .step = field("step", &Json::is_number_integer).get<int64_t>(),
                      .wall = field("wall", &Json::is_number).get<double>(),
                      .time = field("time", &Json::is_number).get<double>(),
                      .values = {}};
  for (const auto& [name, value] : line.items()) {
    if (name == "stage" || name == "step" || name == "wall" || name == "time") continue;
    require(value.is_number() || value.is_null(), ErrorKind::kInput,
            "{}: expected a number or null under each name, got {}", where, value.type_name());
    record.values.emplace_back(name, value.is_null() ? std::nan("") : value.get<double>());
  }
  return record;
}

void write_event(TensorboardWriter& events, const MetricRecord& record) {
  NamedValues tagged = record.values;
  for (auto& [name, value] : tagged) name = record.stage + "/" + name;
  events.write(record.time, record.step, tagged);
}

}  // namespace

MetricsFile read_metrics(const Path& run_dir) {
  const Path path = run_dir / kFileName;
  const std::string text = read_file(path);
  MetricsFile file;
  for (size_t line = 1; file.bytes < text.size(); line++) {
    const size_t end = text.find('\n', file.bytes);
    file.cut = end == std::string::npos;
    if (file.cut) break;
    file.records.push_back(from_line(std::string_view(text).substr(file.bytes, end - file.bytes),
                                     fmt::format("{}:{}", path.string(), line)));
    file.bytes = end + 1;
  }
  return file;
}

MetricsWriter::MetricsWriter(const Path& run_dir) : run_dir_(run_dir), began_(std::chrono::steady_clock::now()) {
  std::error_code error;
  std::filesystem::create_directories(run_dir_, error);
  require(!error, ErrorKind::kIo, "{}: cannot create the folder: {}", run_dir_.string(), error.message());
  if (std::filesystem::exists(run_dir_ / kFileName)) read_back();
  if (!records_.empty()) wall_before_ = records_.back().wall;
  file_.emplace(run_dir_ / kFileName);
  start_events();
}

void MetricsWriter::read_back() {
  MetricsFile file = read_metrics(run_dir_);
  const Path path = run_dir_ / kFileName;
  if (file.cut) write_file(path, std::string_view(read_file(path)).substr(0, file.bytes));
  records_ = std::move(file.records);
}

// The event file is a copy of metrics.jsonl for TensorBoard: made anew from the records, so that a resumed run has one
// file without points that were rewound.
void MetricsWriter::start_events() {
  events_.reset();
  std::vector<Path> old;
  for (const auto& entry : std::filesystem::directory_iterator(run_dir_))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) old.push_back(entry.path());
  for (const Path& path : old) {
    std::error_code error;
    std::filesystem::remove(path, error);
    require(!error, ErrorKind::kIo, "{}: cannot remove: {}", path.string(), error.message());
  }
  events_.emplace(run_dir_);
  for (const MetricRecord& record : records_) write_event(*events_, record);
}

double MetricsWriter::wall() const {
  return wall_before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

void MetricsWriter::write(const std::string& stage, int64_t step, const NamedValues& values) {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  MetricRecord record{.stage = stage,
                      .step = step,
                      .wall = wall(),
                      .time = std::chrono::duration<double>(since_1970).count(),
                      .values = values};
  file_->append(to_line(record));
  write_event(*events_, record);
  records_.push_back(std::move(record));
}

void MetricsWriter::rewind(const std::string& stage, int64_t step) {
  // Stages run one after another: whatever stands behind the first record of the stage and is of another stage is
  // later.
  const auto first = std::find_if(records_.begin(), records_.end(), [&](const auto& r) { return r.stage == stage; });
  const auto gone =
      std::remove_if(first, records_.end(), [&](const auto& r) { return r.stage != stage || r.step > step; });
  if (gone == records_.end()) return;
  records_.erase(gone, records_.end());
  wall_before_ = records_.empty() ? 0 : records_.back().wall;
  began_ = std::chrono::steady_clock::now();
  std::string text;
  for (const MetricRecord& record : records_) text += to_line(record);
  write_file(run_dir_ / kFileName, text);
  file_.emplace(run_dir_ / kFileName);
  start_events();
}

MetricSeries MetricsWriter::series(const std::string& stage, const std::string& name) const {
  MetricSeries series;
  for (const MetricRecord& record : records_) {
    if (record.stage != stage) continue;
    for (const auto& [key, value] : record.values)
      if (key == name) series.steps.push_back(double(record.step)), series.values.push_back(value);
  }
  return series;
}

std::optional<double> MetricsWriter::last(const std::string& stage, const std::string& name) const {
  const MetricSeries all = series(stage, name);
  if (all.values.empty()) return {};
  return all.values.back();
}

}  // namespace tenth
