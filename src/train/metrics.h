// The numbers of a run. metrics.jsonl holds one object a line,
//   {"step":5,"stage":"rl","wall":12.3,"time":1763776911.123,"reward":0.41,"entropy":null}
// wall: seconds of the run so far, pauses between resumed parts left out; time: Unix seconds; null: not finite.
// The TensorBoard event file beside it holds the same under the tags "stage/name".
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/append_file.h"
#include "train/tensorboard.h"

namespace tenth {

struct MetricRecord {
  std::string stage;
  int64_t step = 0;
  double wall = 0, time = 0;
  NamedValues values;  // NaN where the file says null
};

struct MetricSeries {
  std::vector<double> steps, values;
};

// The records of a run, and how many bytes of the file they take; a last line cut by a kill is left out. Reads only.
// Throws kIo where there is no file, kInput with file:line on what is no record.
struct MetricsFile {
  std::vector<MetricRecord> records;
  size_t bytes = 0;
  bool cut = false;  // something follows the last whole line
};
MetricsFile read_metrics(const Path& run_dir);

class MetricsWriter {
 public:
  // Makes the folder. Metrics that stand there are read back (a last line cut by a kill is dropped), new ones follow
  // them. Throws kInput with file:line on anything else that is no record, kIo where the folder cannot be written.
  explicit MetricsWriter(const Path& run_dir);

  // Appends one record to both files before it returns. Names must not be step, stage, wall or time.
  void write(const std::string& stage, int64_t step, const NamedValues& values);

  // Forgets the records of the stage behind the step, and of every stage that began after it: what was written between
  // the state that a run resumes from and its end. Both files are written anew.
  void rewind(const std::string& stage, int64_t step);

  const std::vector<MetricRecord>& records() const { return records_; }
  double wall() const;  // seconds of the run so far
  MetricSeries series(const std::string& stage, const std::string& name) const;
  std::optional<double> last(const std::string& stage, const std::string& name) const;

 private:
  void read_back();
  void start_events();

  Path run_dir_;
  std::vector<MetricRecord> records_;
  double wall_before_ = 0;  // seconds of the parts before this one
  std::chrono::steady_clock::time_point began_;
  std::optional<AppendFile> file_;
  std::optional<TensorboardWriter> events_;
};

}  // namespace tenth
