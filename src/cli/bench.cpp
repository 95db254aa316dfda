#include "cli/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <thread>

#include "backend/cpu/machine.h"
#include "backend/cpu/peak.h"
#include "backend/cpu/timed_backend.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/bench_shapes.h"
#include "cli/commands.h"
#include "cli/idle_backend.h"
#include "cli/model_options.h"
#include "engine/generator.h"
#include "rl/task_dataset.h"
#include "run/recipe_model.h"
#include "tokenizer/small_vocab.h"
#include "train/stage.h"

namespace tenth {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Processor time, of this thread or of all (waiting for each other included): what the work takes whatever else runs.
double processor_seconds_of(clockid_t clock, const std::function<void()>& work) {
  const auto now = [clock] {
    timespec t;
    clock_gettime(clock, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

double best(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + long(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// To four digits: what a reader can use.
double rounded(double value) { return std::stod(fmt::format("{:.4g}", value)); }

// --- training step ---------------------------------------------------------------------------------------------------

// What a training step is made of.
struct StepCase {
  ModelConfig config;
  StageSettings settings;
  double embedding_init = 0;
  Examples examples;
};

StepCase recipe_case(const std::string& file) {
  const Recipe recipe = Recipe::load(file);
  const Tokenizer tokenizer = arithmetic_vocab(recipe.integer("model.max_position_embeddings")).tokenizer();
  const auto task = make_task(recipe.text("task.name"), recipe.task_numbers(), recipe.text("task.file"));
  const TaskDataset data(*task, tokenizer, TaskDataset::Kind::kDocuments, 1, recipe.integer("train.batch_tokens"));
  return {model_config(recipe, tokenizer), stage_settings(recipe, "train"), recipe.real("model.embedding_init"),
          data.batch(0)};
}

// Random tokens, and AdamW for all, as the peers have it.
StepCase shape_case(const std::string& name) {
  const BenchShape shape = bench_shape(name);
  StepCase step{shape.config, {}, shape.config.initializer_range, {}};
  step.settings.optimizer.kind = OptimizerOptions::Kind::kAdamW;
  Rng rng(1);
  std::vector<int32_t> ids(size_t(shape.batch * shape.context));
  for (int32_t& id : ids) id = int32_t(rng.below(uint64_t(shape.config.vocab_size)));
  step.examples = all_tokens_scored(ids, std::vector<int32_t>(size_t(shape.batch), int32_t(shape.context)));
  return step;
}

// The training of a case, step by step, on any backend.
struct Trainer {
  Trainer(const StepCase& step, Backend& backend, DType compute)
      : settings(step.settings), model(step.config, backend, compute) {
    initialize(model, 1, step.embedding_init);
    model.set_training(true);
    optimizer.emplace(model.parameters(), settings.optimizer);
    loss.mtp_weight = model.has_mtp() ? settings.mtp_weight : 0;
    loss.balance_weight = settings.balance_weight;
    loss.count_load = true;
    loss.recompute = settings.recompute;
  }

  void forward(const Examples& examples) { loss_only(model, examples, loss); }
  void gradients(const Examples& examples) {
    for (MoE* mixture : model.mixtures()) mixture->reset_load();
    loss_and_gradients(model, examples, loss);
  }
  void update() {
    apply_update(model, *optimizer, 1e-3, settings.clip);
    for (MoE* mixture : model.mixtures()) mixture->update_bias(settings.bias_update_rate);
  }

  StageSettings settings;
  LossSettings loss;
  Transformer model;
  std::optional<Optimizer> optimizer;
};

struct StepTimes {
  std::vector<double> forward, gradients, update, step, step_processor;  // seconds
};

StepTimes time_steps(Trainer& trainer, int steps, const Examples& examples) {
  StepTimes times;
  for (int i = 0; i < steps; i++) {
    times.step_processor.push_back(processor_seconds_of(CLOCK_PROCESS_CPUTIME_ID, [&] {
      times.gradients.push_back(seconds_of([&] { trainer.gradients(examples); }));
      times.update.push_back(seconds_of([&] { trainer.update(); }));
    }));
    times.step.push_back(times.gradients.back() + times.update.back());
    // Here, as in the step, weights are packed anew; the backward pass is the difference.
    times.forward.push_back(seconds_of([&] { trainer.forward(examples); }));
    trainer.model.refresh();
  }
  return times;
}

// Prints where the time of steps goes.
void profile_steps(const StepCase& step_case, DType compute, int steps) {
  TimedBackend backend;
  Trainer trainer(step_case, backend, compute);
  const auto run = [&](int count) {
    for (int i = 0; i < count; i++) {
      trainer.gradients(step_case.examples);
      trainer.update();
    }
  };
  run(2);
  backend.reset();
  const double seconds = seconds_of([&] { run(steps); });
  std::fputs(profile_table(backend, seconds, steps).c_str(), stdout);
}

// --- rollouts --------------------------------------------------------------------------------------------------------

ModelConfig rollout_config(const std::string& recipe_file) {
  if (recipe_file.empty()) return bench_shape("dsv3a").config;
  const Recipe recipe = Recipe::load(recipe_file);
  return model_config(recipe, arithmetic_vocab(recipe.integer("model.max_position_embeddings")).tokenizer());
}

std::vector<GenerationRequest> random_requests(const RolloutBenchOptions& options, int64_t vocabulary) {
  Rng rng(1);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < options.batch; i++) {
    GenerationRequest request;
    for (int t = 0; t < options.prompt_tokens; t++) request.prompt.push_back(int32_t(rng.below(uint64_t(vocabulary))));
    request.max_new_tokens = options.new_tokens;
    request.sampling.seed = uint64_t(i);
    requests.push_back(std::move(request));
  }
  return requests;
}

// --- command line ----------------------------------------------------------------------------------------------------

void print(const OrderedJson& result, bool json) {
  if (json) {
    std::puts(result.dump().c_str());
    return;
  }
  for (const auto& [name, value] : result.items()) {
    const std::string text = value.is_string()         ? value.get<std::string>()
                             : value.is_number_float() ? fmt::format("{:.4g}", value.get<double>())
                                                       : value.dump();
    std::printf("%-32s %s\n", name.c_str(), text.c_str());
  }
}

template <class Run>
CLI::App* add_bench(CLI::App& bench, const char* name, const char* what, const Run& run) {
  CLI::App* command = bench.add_subcommand(name, what);
  auto json = std::make_shared<bool>(false);
  auto threads = std::make_shared<int>(0);
  command->add_flag("--json", *json, "One JSON object in place of lines");
  command->add_option("--threads", *threads, "Threads; 0: all cores")->capture_default_str();
  command->callback([json, threads, run] {
    if (*threads > 0) set_thread_count(*threads);
    print(run(), *json);
  });
  return command;
}

}  // namespace

// Bytes a second that all threads read from memory together: one word of each cache line of 512 MiB.
double read_bandwidth() {
  constexpr size_t kWords = size_t(64) << 20, kLine = 8;
  const std::vector<uint64_t> words(kWords, 1);
  std::vector<double> seconds;
  std::atomic<uint64_t> all = 0;
  for (int run = 0; run < 5; run++) {
    seconds.push_back(seconds_of([&] {
      parallel_for(kWords / (4 * kLine), 4096, [&](int64_t begin, int64_t end) {
        uint64_t a = 0, b = 0, c = 0, d = 0;  // independent sums: no load waits for another
        for (size_t i = size_t(begin) * 4 * kLine; i < size_t(end) * 4 * kLine; i += 4 * kLine) {
          a += words[i];
          b += words[i + kLine];
          c += words[i + 2 * kLine];
          d += words[i + 3 * kLine];
        }
        all += a + b + c + d;
      });
    }));
  }
  return double(kWords * sizeof(uint64_t)) / best(seconds) * double(all > 0);
}

OrderedJson bench_machine() {
  return {{"machine", machine_name()},
          {"cores", std::thread::hardware_concurrency()},
          {"threads", thread_count()},
          {"peak_f32_gflops", rounded(measured_peak_gflops(DType::kF32))},
          {"peak_bf16_gflops", rounded(measured_peak_gflops(DType::kBF16))},
          {"read_gb_per_s", rounded(read_bandwidth() / 1e9)}};
}

OrderedJson bench_step(const StepBenchOptions& options) {
  const DType compute = compute_type_of(options.dtype);
  StepCase step_case = options.shape.empty() ? recipe_case(options.recipe) : shape_case(options.shape);
  step_case.settings.recompute |= options.recompute;
  const Examples& examples = step_case.examples;
  Trainer trainer(step_case, get_backend("cpu"), compute);
  time_steps(trainer, 2, examples);
  Device& memory = trainer.model.backend();
  memory.reset_peak();
  const size_t allocations = memory.pool_statistics().system_allocations;
  const StepTimes times = time_steps(trainer, options.steps, examples);
  const size_t peak_bytes = memory.pool_statistics().peak_bytes_in_use;

  IdleBackend idle;
  std::vector<double> outside;
  {
    Trainer nothing(step_case, idle, compute);
    for (int i = 0; i < options.steps; i++) {
      outside.push_back(processor_seconds_of(CLOCK_THREAD_CPUTIME_ID, [&] {
        nothing.gradients(examples);
        nothing.update();
      }));
    }
  }

  if (options.profile) profile_steps(step_case, compute, options.steps);

  const ModelSize size = model_size(trainer.model.config());
  double flops = 0;
  for (int32_t length : examples.lengths) flops += size.training_flops(length) * length;
  const double step = best(times.step);
  return {{"bench", "step"},
          {"model", options.shape.empty() ? options.recipe : options.shape},
          {"machine", machine_name()},
          {"threads", thread_count()},
          {"dtype", options.dtype},
          {"parameters", size.parameters},
          {"tokens", examples.tokens()},
          {"forward_ms", rounded(1e3 * best(times.forward))},
          {"backward_ms", rounded(1e3 * (best(times.gradients) - best(times.forward)))},
          {"optimizer_ms", rounded(1e3 * best(times.update))},
          {"step_ms", rounded(1e3 * step)},
          {"step_median_ms", rounded(1e3 * median(times.step))},
          {"step_processor_ms", rounded(1e3 * median(times.step_processor))},
          {"tokens_per_s", rounded(double(examples.tokens()) / step)},
          {"model_gflops", rounded(flops / step / 1e9)},
          {"share_of_peak", rounded(flops / step / 1e9 / measured_peak_gflops(compute))},
          {"peak_memory_mb", rounded(double(peak_bytes) / 1e6)},
          {"outside_kernels_ms", rounded(1e3 * best(outside))},
          {"outside_kernels_share", rounded(best(outside) / step)},
          {"system_allocations_per_step",
           double(memory.pool_statistics().system_allocations - allocations) / options.steps}};
}

OrderedJson bench_rollouts(const RolloutBenchOptions& options) {
  const ModelConfig config = rollout_config(options.recipe);
  Transformer model(config, get_backend("cpu"), compute_type_of(options.dtype));
  initialize(model, 1, config.initializer_range);
  const std::vector<GenerationRequest> requests = random_requests(options, config.vocab_size);
  const CacheForm form = options.expanded ? CacheForm::kExpanded : CacheForm::kLatent;
  Generator generator(model, {.slots = options.batch, .cache = form});
  generator.generate(requests);  // allocates, packs

  const size_t allocations = model.backend().pool_statistics().system_allocations;
  std::vector<double> seconds, processor;
  for (int run = 0; run < options.runs; run++) {
    processor.push_back(processor_seconds_of(
        CLOCK_PROCESS_CPUTIME_ID, [&] { seconds.push_back(seconds_of([&] { generator.generate(requests); })); }));
  }
  const double tokens = double(options.batch) * options.new_tokens;
  return {{"bench", "rollouts"},
          {"model", options.recipe.empty() ? "dsv3a" : options.recipe},
          {"machine", machine_name()},
          {"threads", thread_count()},
          {"dtype", options.dtype},
          {"cache", options.expanded ? "expanded" : "latent"},
          {"batch", options.batch},
          {"prompt", options.prompt_tokens},
          {"new", options.new_tokens},
          {"tokens_per_s", rounded(tokens / best(seconds))},
          {"tokens_per_s_median", rounded(tokens / median(seconds))},
          {"ms_per_step", rounded(1e3 * best(seconds) / options.new_tokens)},
          {"processor_ms_per_step", rounded(1e3 * median(processor) / options.new_tokens)},
          {"system_allocations", model.backend().pool_statistics().system_allocations - allocations}};
}

void add_bench_commands(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure the machine, a training step, rollouts, one conversation");
  bench->require_subcommand(1);
  bench->footer("Example: tenth bench machine");
  add_bench(*bench, "machine", "Peak of multiply-adds out of registers, and bandwidth of reading memory", [] {
    return bench_machine();
  })->footer("Example: tenth bench machine");

  auto step = std::make_shared<StepBenchOptions>();
  CLI::App* command = add_bench(*bench, "step", "A training step of a recipe's model: time by phase, share of the peak",
                                [step] { return bench_step(*step); });
  command->add_option("recipe", step->recipe, "Recipe file")->capture_default_str();
  command->add_option("--shape", step->shape,
                      "In place of a recipe: dsv3a, dsv3b, dsv32a, dense10m or dense124m, with AdamW");
  command->add_option("--dtype", step->dtype, "Compute type: f32, bf16")->capture_default_str();
  command->add_flag("--recompute", step->recompute,
                    "Norms, MLA's up-projections and SwiGLU again in the backward pass");
  command->add_flag("--profile", step->profile, "Print a table of the time by operation too");
  command->add_option("--steps", step->steps, "Steps to time")->capture_default_str()->check(CLI::Range(1, 100000));
  command->footer("Example: tenth bench step recipes/demo.toml --threads 1");

  auto generate = std::make_shared<GenerateBenchOptions>();
  command = add_bench(*bench, "generate", "One sequence of a model on disk: load, prefill, decode, memory",
                      [generate] { return bench_generate(*generate); });
  command->add_option("--model", generate->model.model, "Model folder, .gguf file, or name that was pulled")
      ->required();
  command->add_option("--dtype", generate->model.dtype, "auto (as stored), f32, bf16")->capture_default_str();
  command->add_option("--prompt-tokens", generate->prompts, "Lengths of prompts to time")->delimiter(',');
  command->add_option("--depth", generate->depths, "Tokens in the cache before those that are timed")->delimiter(',');
  command->add_option("--new-tokens", generate->new_tokens, "Tokens to time")->capture_default_str();
  command->add_option("--runs", generate->runs, "Times to measure; the best counts")->capture_default_str();
  generate->speculation.add_to(*command);
  command->footer("Example: tenth bench generate --model SmolLM2-135M-Instruct.Q4_1.gguf --depth 0,2048");

  auto rollouts = std::make_shared<RolloutBenchOptions>();
  command = add_bench(*bench, "rollouts", "New tokens a second of a batch sampled from random weights",
                      [rollouts] { return bench_rollouts(*rollouts); });
  command->add_option("--recipe", rollouts->recipe, "The shape of this recipe's model; default: dsv3a");
  command->add_option("--dtype", rollouts->dtype, "Compute type: f32, bf16")->capture_default_str();
  command->add_flag("--expanded", rollouts->expanded, "Cache each head's keys and values, as reinforcement does");
  const auto count = [&](const char* name, int& value, const char* what) {
    command->add_option(name, value, what)->capture_default_str()->check(CLI::Range(1, 1 << 16));
  };
  count("--batch", rollouts->batch, "Sequences, each with its own prompt");
  count("--prompt-tokens", rollouts->prompt_tokens, "Length of the prompts");
  count("--new-tokens", rollouts->new_tokens, "Tokens to sample for each");
  count("--runs", rollouts->runs, "Times to measure it");
  command->footer("Example: tenth bench rollouts --dtype bf16 --json");

  auto serve = std::make_shared<ServeBenchOptions>();
  command = add_bench(*bench, "serve", "Load on a server of OpenAI's /v1/completions, this one or another",
                      [serve] { return bench_serve(*serve); });
  command->add_option("--url", serve->url, "Of the server, without /v1")->capture_default_str();
  command->add_option("--model", serve->model, "Name that the server knows it by");
  command->add_option("--api-key", serve->key, "Where the server wants one");
  command->add_option("--clients", serve->clients, "Closed loop: so many clients at a time")->delimiter(',');
  command->add_option("--requests", serve->requests, "Of each client")->capture_default_str();
  command->add_option("--rate", serve->rates, "Open loop in its place: requests a second")->delimiter(',');
  command->add_option("--seconds", serve->seconds, "At each rate")->capture_default_str();
  command->add_option("--prompt-tokens", serve->prompt_tokens, "Length of the prompts")->capture_default_str();
  command->add_option("--new-tokens", serve->new_tokens, "Tokens of an answer")->capture_default_str();
  command->add_option("--lowest-id", serve->lowest_id, "Least id in a prompt")->capture_default_str();
  command->add_option("--highest-id", serve->highest_id, "Greatest id in a prompt")->capture_default_str();
  command->add_option("--plot", serve->plot, "SVG file to write");
  command->footer("Example: tenth bench serve --url http://127.0.0.1:8080 --clients 1,8,32");
}

}  // namespace tenth
