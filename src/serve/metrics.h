// Counters and histograms in Prometheus' text format.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void observe(double value);
  // Lines of the buckets, the sum and the count. labels: `a="b"`, or "".
  void print(std::string& out, std::string_view name, const std::string& labels) const;

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> counts_;
  double sum_ = 0;
};

// What the server counts itself; the engine's figures are added when it is printed. Any thread.
class Metrics {
 public:
  Metrics();

  void request(const std::string& route, const std::string& method, int status);
  void first_token(double seconds);
  void between_tokens(double seconds);
  void ended(const char* reason, double seconds, double decode_seconds, int64_t prompt_tokens, int64_t new_tokens);

  struct Gauges {
    int64_t running, waiting, connections, requests_open;
    int64_t prompt_tokens, new_tokens, cached_tokens, preemptions, steps, last_batch;
    int64_t cache_blocks, cache_blocks_used, prefix_blocks;
    int64_t disk_blocks, disk_bytes, restored_blocks;
    double step_seconds, model_seconds;
    int64_t drafts, draft_tokens, accepted_tokens;
    std::vector<int64_t> accepted_at;
  };
  std::string text(const std::string& model, const Gauges& gauges) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int64_t> requests_;  // by labels
  std::map<std::string, int64_t> finished_;  // by reason
  Histogram first_token_, between_, whole_, decode_, prompt_, generated_;
};

}  // namespace tenth
