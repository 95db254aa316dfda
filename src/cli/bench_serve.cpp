// tenth bench serve: load on a server with OpenAI's /v1/completions, ours or another: closed loop (each of N clients
// sends its next request when the last has been answered) or open loop (requests come at a rate, whatever happens).
#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "train/svg_chart.h"

namespace tenth {
namespace {

using Clock = std::chrono::steady_clock;

struct Answer {
  double begin = 0, first = 0, last = 0;  // seconds; first 0: no token came
  int64_t tokens = 0;                     // parts of the stream that had text
  long status = 0;
  std::string error;
};

// Reads a stream of events as it comes.
struct Stream {
  Answer& answer;
  std::string line;

  void take(std::string_view bytes) {
    for (char c : bytes) {
      if (c != '\n') {
        if (line.size() < (1 << 20)) line += c;
        continue;
      }
      event();
      line.clear();
    }
  }
  void event() {
    if (!line.starts_with("data: ") || line.starts_with("data: [DONE]")) return;
    const Json json = Json::parse(line.substr(6), nullptr, false);
    if (!json.is_object()) return;
    if (json.contains("error")) answer.error = json["error"].dump();
    const auto choices = json.find("choices");
    if (choices == json.end() || !choices->is_array() || choices->empty()) return;
    answer.last = monotonic_seconds();
    if (answer.first == 0) answer.first = answer.last;
    answer.tokens++;
  }
};

size_t on_bytes(char* data, size_t, size_t size, void* stream) {
  static_cast<Stream*>(stream)->take({data, size});
  return size;
}

// Prompts differ from the first token on, so that no server finds one in its cache.
std::string body_of(const ServeBenchOptions& options, uint64_t number) {
  Rng rng(options.seed, number);
  Json prompt = Json::array();
  for (int i = 0; i < options.prompt_tokens; i++) prompt.push_back(rng.between(options.lowest_id, options.highest_id));
  Json body = {{"prompt", prompt},
               {"max_tokens", options.new_tokens},
               {"temperature", 0},
               {"ignore_eos", true},
               {"stream", true}};
  if (!options.model.empty()) body["model"] = options.model;
  return body.dump();
}

Answer ask(CURL* curl, const ServeBenchOptions& options, uint64_t number) {
  Answer answer;
  Stream stream{answer, {}};
  const std::string url = options.url + "/v1/completions", body = body_of(options, number);
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  headers = curl_slist_append(headers, "Expect:");
  if (!options.key.empty()) headers = curl_slist_append(headers, ("Authorization: Bearer " + options.key).c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, long(body.size()));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &stream);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 600L);
  answer.begin = monotonic_seconds();
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  if (code != CURLE_OK) answer.error = curl_easy_strerror(code);
  if (answer.error.empty() && answer.status != 200) answer.error = fmt::format("status {}", answer.status);
  curl_slist_free_all(headers);
  return answer;
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, size_t(share * double(values.size())))];
}

std::vector<Answer> closed_loop(const ServeBenchOptions& options, int clients) {
  std::vector<Answer> answers;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int c = 0; c < clients; c++)
    threads.emplace_back([&, c] {
      CURL* curl = curl_easy_init();
      for (int i = 0; i < options.requests; i++) {
        Answer answer = ask(curl, options, uint64_t(c * options.requests + i + 1000003 * clients));
        const std::lock_guard lock(mutex);
        answers.push_back(std::move(answer));
      }
      curl_easy_cleanup(curl);
    });
  for (std::thread& thread : threads) thread.join();
  return answers;
}

// Gaps between requests are exponential: arrivals that know nothing of each other.
std::vector<Answer> open_loop(const ServeBenchOptions& options, double rate) {
  std::vector<Answer> answers;
  std::mutex mutex;
  std::vector<std::thread> threads;
  Rng rng(options.seed, 7);
  const int count = std::max(1, int(rate * options.seconds));
  auto at = Clock::now();
  for (int i = 0; i < count; i++) {
    std::this_thread::sleep_until(at);
    at += std::chrono::microseconds(int64_t(-std::log(1 - rng.uniform()) / rate * 1e6));
    threads.emplace_back([&, i] {
      CURL* curl = curl_easy_init();
      Answer answer = ask(curl, options, uint64_t(i) + 500009);
      curl_easy_cleanup(curl);
      const std::lock_guard lock(mutex);
      answers.push_back(std::move(answer));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return answers;
}

OrderedJson summary(const std::vector<Answer>& answers) {
  std::vector<double> first, each, whole;
  double begin = 1e300, end = 0;
  int64_t tokens = 0, errors = 0;
  std::string error;
  for (const Answer& a : answers) {
    begin = std::min(begin, a.begin);
    if (!a.error.empty()) {
      errors++;
      error = a.error;
      continue;
    }
    end = std::max(end, a.last);
    tokens += a.tokens;
    first.push_back(1e3 * (a.first - a.begin));
    whole.push_back(1e3 * (a.last - a.begin));
    if (a.tokens > 1) each.push_back(1e3 * (a.last - a.first) / double(a.tokens - 1));
  }
  OrderedJson y = {{"requests", answers.size()}, {"errors", errors}};
  if (errors) y["error"] = error;
  y["tokens_per_s"] = tokens > 0 ? double(tokens) / (end - begin) : 0;
  for (const auto& [name, values] : {std::pair("first_token", &first), {"between_tokens", &each}, {"whole", &whole}})
    for (const auto& [label, share] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}})
      y[fmt::format("{}_{}_ms", name, label)] = percentile(*values, share);
  return y;
}

}  // namespace

OrderedJson bench_serve(const ServeBenchOptions& options) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  OrderedJson rows = OrderedJson::array();
  LineChart chart{.title = "Load",
                  .x_label = options.rates.empty() ? "clients" : "requests a second",
                  .y_label = "tokens a second",
                  .from_zero = true,
                  .dots = true};
  ChartSeries speed{"tokens a second", {}, {}};
  const auto add = [&](const char* what, double value, const std::vector<Answer>& answers) {
    OrderedJson row = {{what, value}};
    row.update(summary(answers));
    speed.x.push_back(value);
    speed.y.push_back(row["tokens_per_s"]);
    std::fprintf(stderr, "%s %g: %.1f tokens/s, first token %.0f ms (p99 %.0f), between tokens %.1f ms, %lld errors\n",
                 what, value, row["tokens_per_s"].get<double>(), row["first_token_p50_ms"].get<double>(),
                 row["first_token_p99_ms"].get<double>(), row["between_tokens_p50_ms"].get<double>(),
                 (long long)row["errors"].get<int64_t>());
    rows.push_back(std::move(row));
  };
  if (options.rates.empty())
    for (int clients : options.clients) add("clients", clients, closed_loop(options, clients));
  for (double rate : options.rates) add("rate", rate, open_loop(options, rate));
  if (!options.plot.empty()) {
    chart.series.push_back(std::move(speed));
    write_file(options.plot, line_chart_svg(chart));
  }
  return {{"url", options.url},
          {"prompt_tokens", options.prompt_tokens},
          {"new_tokens", options.new_tokens},
          {"runs", std::move(rows)}};
}

}  // namespace tenth
