// tenth bench generate: one sequence, as a person at a prompt has it.
#include <sys/resource.h>

#include <chrono>

#include "backend/cpu/machine.h"
#include "base/rng.h"
#include "base/threads.h"
#include "cli/bench.h"
#include "engine/generator.h"
#include "hub/cache.h"

namespace tenth {
namespace {

double seconds_of(const auto& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Bytes of weights that a token of one sequence reads: all but the embedding's other rows and the other experts.
double bytes_per_token(Transformer& model) {
  const ModelConfig& config = model.config();
  double bytes = 0;
  const Weight* last = nullptr;
  for (const Parameter& parameter : model.parameters()) {
    const Weight& weight = *parameter.weight;
    if (&weight == last) continue;
    last = &weight;
    const bool only_rows = parameter.name == "model.embed_tokens.weight" && !config.tie_word_embeddings;
    if (only_rows || parameter.name.starts_with(fmt::format("model.layers.{}.", config.num_hidden_layers))) continue;
    const Tensor& form = weight.blocks ? weight.blocks.data : weight.packed ? weight.packed : weight.compute;
    const double share = weight.shape.rank() == 3 ? double(config.gate.experts_per_token) / double(weight.shape[0]) : 1;
    if (weight.absorbed_keys)  // in place of the form that prompts read
      bytes += double(weight.absorbed_keys.bytes() + weight.absorbed_values.bytes());
    else if (form)
      bytes += share * double(form.bytes());
  }
  return bytes;
}

}  // namespace

OrderedJson bench_generate(const GenerateBenchOptions& options) {
  std::unique_ptr<Transformer> model;
  ModelOptions from = options.model;
  from.model = find_model(from.model).string();
  const double load = seconds_of([&] { model = from.load(); });
  const double per_token = bytes_per_token(*model);
  Generator generator(*model, options.speculation.generation());
  Rng rng(1);
  struct Seconds {
    double first = 1e300, each = 1e300;  // to the first token; of each later one
  };
  const auto generate = [&](int prompt, int tokens) {
    GenerationRequest request;
    for (int i = 0; i < prompt; i++) request.prompt.push_back(int32_t(rng.below(uint64_t(model->config().vocab_size))));
    request.sampling.temperature = 0;
    request.max_new_tokens = tokens;
    Seconds best;
    for (int run = 0; run < options.runs; run++) {
      std::chrono::steady_clock::time_point first;
      const double all = seconds_of([&] {
        generator.generate(std::span(&request, 1), [&](size_t, int32_t, int32_t) {
          if (first == std::chrono::steady_clock::time_point()) first = std::chrono::steady_clock::now();
          return true;
        });
      });
      const double later = std::chrono::duration<double>(std::chrono::steady_clock::now() - first).count();
      best.first = std::min(best.first, all - later);
      best.each = std::min(best.each, later / std::max(1, tokens - 1));
    }
    return best;
  };
  generate(16, 2);
  OrderedJson result = {{"bench", "generate"},
                        {"model", options.model.model},
                        {"machine", machine_name()},
                        {"threads", thread_count()},
                        {"dtype", options.model.dtype},
                        {"load_s", load},
                        {"mb_per_token", per_token / 1e6}};
  for (int prompt : options.prompts) {
    const double seconds = generate(prompt, 1).first;
    result[fmt::format("prefill_{}_tokens_per_s", prompt)] = prompt / seconds;
  }
  double fastest = 1e300;  // at depth 0
  for (int depth : options.depths) {
    const int prompt = std::max(depth, 1);
    const double seconds = generate(prompt, options.new_tokens + 1).each;
    result[fmt::format("decode_at_{}_tokens_per_s", depth)] = 1 / seconds;
    if (depth == 0) fastest = seconds;
  }
  if (options.speculation.on()) {
    const GenerationStatistics& all = generator.statistics();
    result["drafts"] = all.drafts;
    result["accepted"] = all.accepted;
    result["acceptance"] = double(all.accepted) / double(std::max<int64_t>(all.drafts, 1));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  result["peak_mb"] = double(usage.ru_maxrss) / 1024;
  // Last, for it reads more memory than a small model has.
  const double read = read_bandwidth();
  result["read_gb_per_s"] = read / 1e9;
  if (fastest < 1e300) result["decode_share_of_read_bandwidth"] = per_token / fastest / read;
  return result;
}

}  // namespace tenth
