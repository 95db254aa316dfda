#include "serve/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>

namespace tenth {
namespace {

const std::vector<double> kSeconds = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,
                                      .75,  1,    2.5, 5,   7.5, 10,  20,  40, 80};
const std::vector<double> kTokens = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

// Escapes as the format's label values want it.
std::string escaped(std::string_view text) {
  std::string y;
  for (char c : text) {
    if (c == '\\' || c == '"') y += '\\';
    if (c == '\n')
      y += "\\n";
    else
      y += c;
  }
  return y;
}

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

void line(std::string& out, std::string_view name, const std::string& labels, double value) {
  out += labels.empty() ? fmt::format("{} {}\n", name, value) : fmt::format("{}{{{}}} {}\n", name, labels, value);
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  file >> size >> resident;
  return resident * double(sysconf(_SC_PAGESIZE));
}

double open_files() {
  std::error_code ignored;
  double count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", ignored);
       it != std::filesystem::directory_iterator(); it.increment(ignored))
    count++;
  return count;
}

double threads() {
  std::error_code ignored;
  double count = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/task", ignored);
       it != std::filesystem::directory_iterator(); it.increment(ignored))
    count++;
  return count;
}

const double kStarted = double(std::time(nullptr));

}  // namespace

void Histogram::observe(double value) {
  counts_[size_t(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin())]++;
  sum_ += value;
}

void Histogram::print(std::string& out, std::string_view name, const std::string& labels) const {
  int64_t below = 0;
  for (size_t i = 0; i < counts_.size(); i++) {
    below += counts_[i];
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    line(out, fmt::format("{}_bucket", name), fmt::format("{},le=\"{}\"", labels, bound), double(below));
  }
  line(out, fmt::format("{}_sum", name), labels, sum_);
  line(out, fmt::format("{}_count", name), labels, double(below));
}

Metrics::Metrics()
    : first_token_(kSeconds),
      between_(kSeconds),
      whole_(kSeconds),
      decode_(kSeconds),
      prompt_(kTokens),
      generated_(kTokens) {}

void Metrics::request(const std::string& route, const std::string& method, int status) {
  const std::lock_guard lock(mutex_);
  requests_[fmt::format("handler=\"{}\",method=\"{}\",status=\"{}\"", escaped(route), escaped(method), status)]++;
}
void Metrics::first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.observe(seconds);
}
void Metrics::between_tokens(double seconds) {
  const std::lock_guard lock(mutex_);
  between_.observe(seconds);
}
void Metrics::ended(const char* reason, double seconds, double decode_seconds, int64_t prompt_tokens,
                    int64_t new_tokens) {
  const std::lock_guard lock(mutex_);
  finished_[reason]++;
  whole_.observe(seconds);
  decode_.observe(decode_seconds);
  prompt_.observe(double(prompt_tokens));
  generated_.observe(double(new_tokens));
}

// Each figure under our own name and under vLLM's, where vLLM has one, so that its dashboards fit.
std::string Metrics::text(const std::string& model, const Gauges& g) const {
  const std::string label = fmt::format("model_name=\"{}\"", escaped(model));
  std::string out;
  const auto put = [&](const char* name, const char* vllm, const char* type, const char* help, double value) {
    for (const std::string& full : {fmt::format("tenth_{}", name), vllm ? fmt::format("vllm:{}", vllm) : ""}) {
      if (full.empty()) continue;
      head(out, full, type, help);
      line(out, full, label, value);
    }
  };
  const auto histogram = [&](const char* name, const char* help, const Histogram& values) {
    for (const char* prefix : {"tenth_", "vllm:"}) {
      const std::string full = fmt::format("{}{}", prefix, name);
      head(out, full, "histogram", help);
      values.print(out, full, label);
    }
  };
  put("num_requests_running", "num_requests_running", "gauge", "Sequences in the running batch", double(g.running));
  put("num_requests_waiting", "num_requests_waiting", "gauge", "Sequences that wait for a place", double(g.waiting));
  put("requests_open", nullptr, "gauge", "HTTP requests whose answer is not complete", double(g.requests_open));
  put("connections", nullptr, "gauge", "Open connections", double(g.connections));
  put("kv_cache_usage_perc", "kv_cache_usage_perc", "gauge", "Share of the cache that running sequences hold (0 to 1)",
      g.cache_blocks ? double(g.cache_blocks_used) / double(g.cache_blocks) : 0);
  put("kv_cache_blocks", nullptr, "gauge", "Blocks of the cache, 64 tokens each", double(g.cache_blocks));
  put("kv_cache_blocks_used", nullptr, "gauge", "Blocks that running sequences hold", double(g.cache_blocks_used));
  put("prefix_cache_blocks", nullptr, "gauge", "Blocks whose contents can be found again", double(g.prefix_blocks));
  put("prefix_disk_blocks", nullptr, "gauge", "Blocks in the prefix cache on disk", double(g.disk_blocks));
  put("prefix_disk_bytes", nullptr, "gauge", "Disk that it takes", double(g.disk_bytes));
  put("prefix_disk_restored_blocks_total", nullptr, "counter", "Blocks that were read from disk, not computed",
      double(g.restored_blocks));
  put("batch_tokens", nullptr, "gauge", "Tokens in the last step", double(g.last_batch));
  put("prompt_tokens_total", "prompt_tokens_total", "counter", "Prompt tokens that were computed",
      double(g.prompt_tokens));
  put("generation_tokens_total", "generation_tokens_total", "counter", "Tokens that were generated",
      double(g.new_tokens));
  put("prefix_cache_queries_total", "prefix_cache_queries_total", "counter", "Prompt tokens that were looked up",
      double(g.prompt_tokens + g.cached_tokens));
  put("prefix_cache_hits_total", "prefix_cache_hits_total", "counter", "Prompt tokens that were found in the cache",
      double(g.cached_tokens));
  put("num_preemptions_total", "num_preemptions_total", "counter", "Sequences that gave their cache to others",
      double(g.preemptions));
  put("spec_decode_num_drafts_total", "spec_decode_num_drafts_total", "counter",
      "Steps of sequences that had guesses of their next tokens", double(g.drafts));
  put("spec_decode_num_draft_tokens_total", "spec_decode_num_draft_tokens_total", "counter", "Guesses that were fed",
      double(g.draft_tokens));
  put("spec_decode_num_accepted_tokens_total", "spec_decode_num_accepted_tokens_total", "counter",
      "Guesses that were right", double(g.accepted_tokens));
  for (const char* prefix : {"tenth_", "vllm:"}) {
    const std::string name = fmt::format("{}spec_decode_num_accepted_tokens_per_pos_total", prefix);
    head(out, name, "counter", "Guesses that were right, by their place in the draft");
    for (size_t i = 0; i < g.accepted_at.size(); i++)
      line(out, name, fmt::format("{},position=\"{}\"", label, i), double(g.accepted_at[i]));
  }
  put("steps_total", nullptr, "counter", "Steps of the engine", double(g.steps));
  put("step_seconds_total", nullptr, "counter", "Time in steps of the engine", g.step_seconds);
  put("model_seconds_total", nullptr, "counter", "Of that, in the model", g.model_seconds);
  const std::lock_guard lock(mutex_);
  for (const char* name : {"tenth_request_success_total", "vllm:request_success_total"}) {
    head(out, name, "counter", "Requests that ended, by reason");
    for (const auto& [reason, count] : finished_)
      line(out, name, fmt::format("{},finished_reason=\"{}\"", label, reason), double(count));
  }
  histogram("time_to_first_token_seconds", "From arrival to the first token", first_token_);
  histogram("inter_token_latency_seconds", "Between two tokens", between_);
  histogram("e2e_request_latency_seconds", "From arrival to the last token", whole_);
  histogram("request_decode_time_seconds", "From the first token to the last", decode_);
  histogram("request_prompt_tokens", "Tokens of a prompt", prompt_);
  histogram("request_generation_tokens", "Tokens of an answer", generated_);
  head(out, "http_requests_total", "counter", "Requests by route, method and status");
  for (const auto& [labels, count] : requests_) line(out, "http_requests_total", labels, double(count));
  const auto process = [&](const char* name, const char* type, const char* help, double value) {
    head(out, name, type, help);
    line(out, name, "", value);
  };
  process("process_resident_memory_bytes", "gauge", "Resident memory", resident_bytes());
  process("process_cpu_seconds_total", "counter", "Processor time", double(std::clock()) / CLOCKS_PER_SEC);
  process("process_open_fds", "gauge", "Open file descriptors", open_files());
  process("process_threads", "gauge", "Threads", threads());
  process("process_start_time_seconds", "gauge", "Start, unix seconds", kStarted);
  return out;
}

}  // namespace tenth
