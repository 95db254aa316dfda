// Structured output over DeepSeek-V3's 129k tokens and the schemas of shared/data/jsonschema: compiling a schema, the
// masks along its valid instances for the first time (cold) and again (warm). us/token is a mask and the token taken.
//   grammar_bench [--benchmark_filter=warm]       (fixtures from ../shared or TENTH_SHARED)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "base/error.h"
#include "data/lines.h"
#include "grammar/grammar.h"
#include "tokenizer/tokenizer.h"

namespace tenth {
namespace {

// Of this thread's processor time, so that what else runs counts less.
double now_us() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) * 1e6 + double(time.tv_nsec) * 1e-3;
}

Path shared() {
  const char* folder = std::getenv("TENTH_SHARED");
  return folder ? folder : "../shared";
}

const Tokenizer& tokenizer() {
  static const Tokenizer loaded = Tokenizer::load(shared() / "data/tokenizers/deepseek_v3");
  return loaded;
}

std::shared_ptr<const GrammarVocabulary> make_vocabulary() {
  std::vector<std::string> bytes(size_t(tokenizer().vocab_size()));
  for (int32_t id = 0; id < tokenizer().vocab_size(); id++)
    if (!tokenizer().is_special(id)) bytes[size_t(id)] = tokenizer().token_bytes(id);
  const std::vector<int32_t> ends = {tokenizer().eos_id().value()};
  return std::make_shared<const GrammarVocabulary>(bytes, ends);
}

struct Case {
  OrderedJson schema;
  std::vector<std::vector<int32_t>> texts;  // tokens of the valid instances
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> made;
    LineReader lines(shared() / "data/jsonschema/visible.jsonl.zst");
    std::string line;
    while (lines.next(line) == LineReader::Next::kLine) {
      const OrderedJson entry = parse_ordered_json(line, "corpus");
      Case one{entry.at("schema"), {}};
      try {
        Grammar::from_json_schema(one.schema, "schema", MemberOrder::kAny);
      } catch (const Error&) {
        continue;  // refused
      }
      for (const OrderedJson& test : entry.at("tests"))
        if (test.at("valid")) one.texts.push_back(tokenizer().encode(test.at("data").dump(), false));
      made.push_back(std::move(one));
    }
    return made;
  }();
  return all;
}

void vocabulary(benchmark::State& state) {
  tokenizer();
  for (auto _ : state) benchmark::DoNotOptimize(make_vocabulary());
}
BENCHMARK(vocabulary)->Unit(benchmark::kMillisecond);

void compile(benchmark::State& state) {
  std::vector<double> times;
  cases();
  for (auto _ : state)
    for (const Case& one : cases()) {
      const double start = now_us();
      benchmark::DoNotOptimize(Grammar::from_json_schema(one.schema, "schema", MemberOrder::kAny));
      times.push_back((now_us() - start) / 1000);
    }
  std::sort(times.begin(), times.end());
  state.counters["median_ms"] = times[times.size() / 2];
  state.counters["p95_ms"] = times[times.size() * 95 / 100];
  state.counters["worst_ms"] = times.back();
}
BENCHMARK(compile)->Unit(benchmark::kMillisecond)->Iterations(1);

// range(0): how often the instances were followed before.
void masks(benchmark::State& state) {
  const auto vocabulary = make_vocabulary();
  std::vector<uint32_t> bits(vocabulary->mask_words());
  std::vector<double> times;
  size_t found = 0, bytes = 0;
  cases();
  for (auto _ : state)
    for (const Case& one : cases()) {
      const auto masks = std::make_shared<GrammarMasks>(
          Grammar::from_json_schema(one.schema, "schema", MemberOrder::kAny), vocabulary);
      for (int64_t pass = 0; pass <= state.range(0); pass++)
        for (const std::vector<int32_t>& text : one.texts) {
          GrammarMatcher matcher(masks);
          for (int32_t id : text) {
            const double start = now_us();
            matcher.fill_mask(bits);
            benchmark::DoNotOptimize(matcher.accept(id));
            if (pass == state.range(0)) times.push_back((now_us() - start));
          }
        }
      found += masks->masks_found();
      bytes = std::max(bytes, masks->bytes());
    }
  std::sort(times.begin(), times.end());
  double sum = 0;
  for (double time : times) sum += time;
  state.counters["tokens"] = double(times.size());
  state.counters["us/token"] = sum / double(times.size());
  state.counters["median_us"] = times[times.size() / 2];
  state.counters["p99_us"] = times[times.size() * 99 / 100];
  state.counters["worst_us"] = times.back();
  state.counters["masks_found"] = double(found);
  state.counters["largest_MB"] = double(bytes) / 1e6;
}
BENCHMARK(masks)->Name("masks/cold")->Arg(0)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(masks)->Name("masks/warm")->Arg(1)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace tenth

BENCHMARK_MAIN();
