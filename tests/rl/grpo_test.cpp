// The reinforcement loop: it raises a reward, its sampler and trainer agree, and how it is cut into parts changes
// nothing.
#include "rl/grpo.h"

#include <algorithm>
#include <cmath>
#include <csignal>

#include "base/interrupt.h"
#include "rl/rollout.h"
#include "tensor_util.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

// "1+2=?" and the like, where every digit 7 of the response counts: a reward that random weights can learn from.
class Sevens : public Task {
 public:
  std::string name() const override { return "sevens"; }
  Problem draw(Rng& rng) const override {
    if (--draws_until_signal_ == 0) std::raise(SIGINT);
    return {.question = fmt::format("{}+{}=?", rng.between(1, 9), rng.between(1, 9)), .answer = "7"};
  }
  std::vector<Problem> held_out(int count) const override {
    return std::vector<Problem>(size_t(count), {.question = "1+2=?", .answer = "7"});
  }
  std::string demonstration(const Problem&, Rng&) const override { return "</think><answer>7</answer>"; }
  Document document(Rng&) const override { return {"", "7"}; }
  std::vector<std::string> vocabulary() const override { return {}; }
  Reward reward(const Problem&, std::string_view response, bool) const override {
    if (always_ >= 0) return {always_, 1, 1};
    return {double(std::count(response.begin(), response.end(), '7')) / 8, 1, 1};
  }

  mutable int64_t draws_until_signal_ = -1;
  double always_ = -1;
};

struct RlRun {
  explicit RlRun(const std::vector<std::string>& overrides = {}, DType compute = DType::kF32)
      : recipe(tiny_recipe(overrides)), model(random_model(recipe, 1, "cpu", compute)), settings(rl_settings(recipe)) {
    settings.eval_problems = 2;
  }

  void run(Transformer* reference = nullptr) { run_grpo(*model, reference, tokenizer, task, settings, context); }
  std::vector<double> values(const std::string& name) const { return metrics.series("rl", name).values; }
  double mean(const std::string& name, size_t begin, size_t end) const {
    const std::vector<double> all = values(name);
    double sum = 0;
    for (size_t i = begin; i < end; i++) sum += all.at(i);
    return sum / double(end - begin);
  }
  Values weights() {
    Values all;
    for (const Parameter& parameter : model->parameters()) {
      const Values values = values_of(parameter.value());
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  Recipe recipe;
  Tokenizer tokenizer = tiny_tokenizer();
  std::unique_ptr<Transformer> model;
  Sevens task;
  RlSettings settings;
  TempFolder folder;
  MetricsWriter metrics{folder.path()};
  RunContext context{.run_dir = folder.path(), .metrics = metrics, .resume = {}};
};

TEST(Grpo, RaisesAReward) {
  RlRun run({"rl.steps=40", "rl.prompts=8", "rl.samples=8", "rl.max_new_tokens=8", "rl.lr=0.01", "rl.eval_every=0"});
  run.run();
  EXPECT_LT(run.mean("reward", 0, 2), 0.25);  // by chance: one token in six has a seven
  EXPECT_GT(run.mean("reward", 35, 40), 0.9);
}

TEST(Grpo, SamplerAndTrainerAgree) {
  for (const char* temperature : {"1", "0.7"}) {
    SCOPED_TRACE(temperature);
    RlRun run({"rl.steps=3", "rl.max_new_tokens=20", fmt::format("rl.temperature={}", temperature)});
    run.run();
    for (double gap : run.values("logprob_gap_max")) EXPECT_LE(gap, 1e-5);
    EXPECT_EQ(run.values("logprob_gap_max").size(), 3u);
    for (double ratio : run.values("clip_fraction")) EXPECT_EQ(ratio, 0) << "the first update is on-policy";
  }
  RlRun narrow({"rl.steps=2"}, DType::kBF16);
  narrow.run();
  for (double gap : narrow.values("logprob_gap_max")) EXPECT_LE(gap, 0.2);
}

TEST(Grpo, VariantsAndOptionsRun) {
  const std::vector<std::vector<std::string>> cases = {
      {"rl.variant=grpo"},
      {"rl.variant=dr_grpo"},
      {"rl.variant=dapo", "rl.dynamic_sampling=true"},
      {"rl.variant=gspo", "rl.updates=2"},
      {"rl.updates=3"},
      {"rl.kl=0.1", "rl.updates=2"},
      {"rl.routing_replay=false"},
      {"rl.normalize_std=false"},
      {"rl.optimizer=muon", "rl.lr=0.002"},
      {"rl.schedule=cosine", "rl.temperature=1.3"},
  };
  for (const std::vector<std::string>& options : cases) {
    SCOPED_TRACE(options.front());
    std::vector<std::string> overrides = {"rl.steps=2", "rl.eval_every=1"};
    overrides.insert(overrides.end(), options.begin(), options.end());
    RlRun run(overrides);
    const Values before = run.weights();
    auto reference = run.settings.loss.beta != 0 ? random_model(run.recipe) : nullptr;
    run.run(reference.get());
    ASSERT_EQ(run.metrics.records().size(), 2u);
    for (const MetricRecord& record : run.metrics.records())
      for (const auto& [name, value] : record.values) EXPECT_TRUE(std::isfinite(value)) << name;
    EXPECT_NE(run.weights(), before);
    EXPECT_LE(run.values("logprob_gap_max").back(), 1e-5);
    EXPECT_EQ(run.values("approx_kl").back() > 1e-12, run.settings.updates > 1) << "later updates are off-policy";
    const std::vector<double> kl = run.values("reference_kl");
    EXPECT_EQ(kl.front() > 0, reference && run.settings.updates > 1);
    EXPECT_EQ(kl.back() > 0, reference != nullptr);
  }
}

TEST(Grpo, VariantsKeepTheirOwnClips) {
  const auto clips = [](const std::vector<std::string>& overrides) {
    const RlSettings s = rl_settings(tiny_recipe(overrides));
    return std::pair(s.loss.clip_low, s.loss.clip_high);
  };
  EXPECT_EQ(clips({}), std::pair(0.2, 0.2));
  EXPECT_EQ(clips({"rl.variant=dapo"}), std::pair(0.2, 0.28));
  EXPECT_EQ(clips({"rl.variant=gspo"}), std::pair(3e-4, 4e-4));
  EXPECT_EQ(clips({"rl.variant=gspo", "rl.clip_high=0.5"}), std::pair(3e-4, 0.5));
  EXPECT_EQ(rl_settings(tiny_recipe()).loss.beta, 0);
  EXPECT_EQ(rl_settings(tiny_recipe({"rl.kl=0.04"})).loss.beta, 0.04);
  EXPECT_EQ(rl_settings(tiny_recipe({"rl.variant=dr_grpo"})).loss.constant_length, 20);
}

TEST(Grpo, MicroBatchesChangeNothing) {
  for (const char* variant : {"grpo", "dapo", "dr_grpo", "gspo"}) {
    SCOPED_TRACE(variant);
    const std::vector<std::string> options = {"rl.steps=1", "rl.optimizer=adamw", "rl.clip=0", "rl.kl=0.05",
                                              fmt::format("rl.variant={}", variant)};
    const auto gradients = [&](int64_t tokens) {
      RlRun run(options);
      run.settings.micro_batch_tokens = tokens;
      run.settings.optimizer.lr = run.settings.optimizer.adam_lr = 0;  // a step that goes nowhere
      auto reference = random_model(run.recipe, 2);
      run.run(reference.get());
      return std::pair(run.values("grad_norm").at(0), run.values("loss").at(0));
    };
    const auto one = gradients(1 << 20), many = gradients(1);
    EXPECT_GT(one.first, 1e-4);
    EXPECT_NEAR(many.first, one.first, 1e-6 * (1 + one.first));
    EXPECT_NEAR(many.second, one.second, 1e-9);
  }
}

// Replay only matters where sampler and trainer would choose differently; on one set of kernels they do not.
TEST(Grpo, RoutingReplayGivesTheSameGradients) {
  RlRun with({"rl.steps=2"}), without({"rl.steps=2", "rl.routing_replay=false"});
  with.run();
  without.run();
  EXPECT_EQ(with.values("grad_norm"), without.values("grad_norm"));
  EXPECT_EQ(with.weights(), without.weights());
}

TEST(Grpo, AStepWithNothingToLearnLeavesTheWeights) {
  RlRun run({"rl.steps=2"});
  run.task.always_ = 0.5;
  const Values before = run.weights();
  run.run();
  EXPECT_EQ(run.weights(), before);
  EXPECT_EQ(run.values("zero_variance"), (std::vector<double>{1, 1}));
  EXPECT_EQ(run.values("reward"), (std::vector<double>{0.5, 0.5}));
  EXPECT_TRUE(std::isnan(run.values("entropy").at(0)));
  EXPECT_TRUE(std::isnan(run.values("logprob_gap").at(0)));
}

TEST(Grpo, DynamicSamplingReplacesEqualGroups) {
  RlRun run({"rl.dynamic_sampling=true", "rl.prompts=6", "rl.samples=4", "rl.max_new_tokens=2"});
  Generator generator(*run.model, {.slots = 24, .record_routing = true});
  int64_t groups = 0;
  for (int64_t step = 0; step < 4; step++) {
    const Rollout rollout = roll_out(generator, run.tokenizer, run.task, run.settings, step);
    EXPECT_LE(rollout.rows.size(), 6u * 4);
    EXPECT_EQ(rollout.rows.size() % 4, 0u);
    EXPECT_EQ(rollout.groups - rollout.zero_variance_groups, int64_t(rollout.rows.size()) / 4);
    EXPECT_EQ(rollout.sampled, rollout.groups * 4);
    groups += rollout.groups;
    for (size_t i = 0; i < rollout.rows.size(); i += 4) {
      double sum = 0, largest = 0;
      for (size_t s = i; s < i + 4; s++)
        sum += rollout.rows[s].advantage, largest = std::max(largest, rollout.rows[s].advantage);
      EXPECT_NEAR(sum, 0, 1e-9);
      EXPECT_GT(largest, 0);
    }
  }
  EXPECT_GT(groups, 4 * 6) << "two tokens are seldom sevens: groups had to be replaced";
  run.task.always_ = 0;
  EXPECT_EQ(roll_out(generator, run.tokenizer, run.task, run.settings, 0).groups, 4 * 6) << "it gives up";
}

TEST(Grpo, RolloutsAreAFunctionOfSeedAndStep) {
  RlRun run;
  const auto ids = [&](int64_t slots, int64_t step, uint64_t seed) {
    Generator generator(*run.model, {.slots = slots, .record_routing = true});
    run.settings.seed = seed;
    std::vector<std::vector<int32_t>> all;
    for (const RolloutRow& row : roll_out(generator, run.tokenizer, run.task, run.settings, step).rows)
      all.push_back(row.completion.ids);
    return all;
  };
  EXPECT_EQ(ids(16, 3, 1), ids(3, 3, 1));
  EXPECT_NE(ids(16, 3, 1), ids(16, 4, 1));
  EXPECT_NE(ids(16, 3, 1), ids(16, 3, 2));
}

TEST(Grpo, StoppedAndResumedAtEachStepGivesTheSameBits) {
  const std::vector<std::string> options = {"rl.steps=3", "rl.updates=2", "rl.kl=0.02", "rl.eval_every=2"};
  RlRun whole(options);
  auto reference = random_model(whole.recipe);
  watch_interrupts();
  whole.run(reference.get());
  const Values expected = whole.weights();
  for (int64_t stop = 0; stop < 3; stop++) {
    SCOPED_TRACE(stop);
    RlRun run(options);
    run.task.draws_until_signal_ = 4 * stop + 2;
    const std::string message = error_of([&] { run.run(reference.get()); });
    EXPECT_TRUE(message.starts_with(fmt::format("interrupted after rl step {}", stop + 1))) << message;
    watch_interrupts();
    run.task.draws_until_signal_ = -1;
    run.context.resume = newest_checkpoint(run.folder.path());
    run.model = load_model(run.context.resume->folder, get_backend("cpu"), DType::kF32);
    run.run(reference.get());
    EXPECT_EQ(run.weights(), expected);
    EXPECT_EQ(metrics_of(run.folder.path()), metrics_of(whole.folder.path()));
  }
}

TEST(Grpo, BrokenWeightsStopItAndNameTheStep) {
  RlRun run;
  run.model->parameters().back().value().data<float>()[0] = std::nanf("");
  for (const Parameter& parameter : run.model->parameters())
    if (parameter.name == "model.norm.weight") parameter.value().data<float>()[0] = std::nanf("");
  run.model->refresh();
  const Values before = run.weights();
  const std::string message = error_of([&] { run.run(); });
  EXPECT_TRUE(message.starts_with("rl step 1: ")) << message;
  const Values after = run.weights();
  for (size_t i = 0; i < after.size(); i++) ASSERT_TRUE(same_bits(after[i], before[i]));
}

}  // namespace
}  // namespace tenth::testing
