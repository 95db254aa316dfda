// One supervised stage: it learns, repeats itself bit by bit, and goes on where it was stopped.
#include "train/stage.h"

#include <cmath>
#include <csignal>
#include <cstring>

#include "base/interrupt.h"
#include "rl/task_dataset.h"
#include "stage_util.h"
#include "tensor_util.h"

namespace tenth::testing {
namespace {

// The same batch at every step; can raise SIGINT, as Ctrl-C would, while it is asked for batch number `stop_at`.
class FixedBatches : public Dataset {
 public:
  explicit FixedBatches(std::vector<Examples> batches, int64_t stop_at = -1)
      : batches_(std::move(batches)), stop_at_(stop_at) {}
  Examples batch(int64_t index) const override {
    if (index == stop_at_) std::raise(SIGINT);
    return batches_[size_t(index) % batches_.size()];
  }

 private:
  std::vector<Examples> batches_;
  int64_t stop_at_;
};

std::vector<float> all_weights(Transformer& model) {
  std::vector<float> all;
  for (const Parameter& parameter : model.parameters()) {
    const Tensor value = parameter.value();
    for (int64_t i = 0; i < value.count(); i++) all.push_back(float(read(value, offset_of(value, i))));
  }
  return all;
}

TEST(Stage, OverfitsOneBatch) {
  for (const char* optimizer : {"muon", "adamw"}) {
    SCOPED_TRACE(optimizer);
    auto model = random_model(tiny_recipe());
    StageRun run;
    const FixedBatches data({some_examples(4, 5)});
    const double lr = optimizer == std::string("muon") ? 0.02 : 0.01;
    run_stage(*model, data,
              settings_for({fmt::format("optim.optimizer={}", optimizer), fmt::format("optim.lr={}", lr),
                            "train.steps=60", "optim.schedule=linear"}),
              run.context);
    const MetricSeries loss = run.metrics.series("train", "loss");
    ASSERT_EQ(loss.values.size(), 60u);
    EXPECT_NEAR(loss.values.front(), std::log(121), 0.3) << "an untrained model knows nothing";
    EXPECT_LT(loss.values.back(), 0.05);
    EXPECT_LT(run.last("mtp_loss"), 0.2);
  }
}

// Reference training.md, section 5: the true lengths, multi-token prediction where it is trained, Muon's products.
TEST(Stage, CountsTheFlopsOfAStep) {
  auto model = random_model(tiny_recipe());
  const FixedBatches data({some_examples(4, 5)});
  const auto flops = [&](const std::vector<std::string>& overrides) {
    auto all = overrides;
    all.insert(all.end(), {"train.steps=1"});
    StageRun run;
    run_stage(*model, data, settings_for(all), run.context);
    return run.last("flops");
  };
  const auto by_lengths = [&](const ModelSize& size) {
    double sum = 0;
    for (int32_t length : data.batch(0).lengths) sum += size.training_flops(length) * length;
    return sum;
  };
  double muon = 0;
  for (const Parameter& p : model->parameters()) {
    if (p.role != Parameter::Role::kMatrix) continue;
    const double n = double(std::min(p.shape()[0], p.shape()[1])), m = double(std::max(p.shape()[0], p.shape()[1]));
    muon += 5 * (4 * n * n * m + 2 * n * n * n);
  }
  const double trunk = by_lengths(trunk_size(model->config())), all = by_lengths(model_size(model->config()));
  EXPECT_GT(all, trunk);
  EXPECT_DOUBLE_EQ(flops({"optim.optimizer=adamw"}), all);
  EXPECT_DOUBLE_EQ(flops({"optim.optimizer=adamw", "train.mtp_weight=0"}), trunk);
  EXPECT_DOUBLE_EQ(flops({}), all + muon);
  EXPECT_DOUBLE_EQ(flops({"train.accumulate=2"}), 2 * all + muon);
}

TEST(Stage, LearnsTheTextOfSums) {
  const Recipe recipe = tiny_recipe(
      {"train.steps=120", "task.max_value=20", "task.p_direct=0.6", "task.p_chat=0.25", "task.p_equations=0.5"});
  auto model = random_model(recipe);
  const auto task = make_task("chain", recipe.task_numbers());
  const Tokenizer tokenizer = tiny_tokenizer();
  const TaskDataset data(*task, tokenizer, TaskDataset::Kind::kDocuments, 1, 384);
  StageRun run;
  run_stage(*model, data, stage_settings(recipe, "train"), run.context);
  const MetricSeries loss = run.metrics.series("train", "loss");
  EXPECT_GT(loss.values.front(), 4.5);
  double end = 0;
  for (size_t i = loss.values.size() - 10; i < loss.values.size(); i++) end += loss.values[i] / 10;
  EXPECT_LT(end, 1.9);
  EXPECT_GT(end, 0.5) << "the terms of a sum cannot be foreseen";
  // Held-out text of the same kind is not harder by much.
  const LossResult held_out = loss_only(*model, data.batch(1'000'000), {});
  EXPECT_NEAR(held_out.loss, end, 0.35);
}

// Two batches whose gradients are added make the step of one batch of both.
TEST(Stage, AccumulationIsOneLargerBatch) {
  const Examples a = some_examples(3, 1), b = some_examples(3, 2);
  Examples both = a;
  both.ids.insert(both.ids.end(), b.ids.begin(), b.ids.end());
  both.lengths.insert(both.lengths.end(), b.lengths.begin(), b.lengths.end());
  both.scored.insert(both.scored.end(), b.scored.begin(), b.scored.end());
  const Recipe recipe = tiny_recipe();
  auto apart = random_model(recipe), together = random_model(recipe);
  StageRun run_apart, run_together;
  const std::vector<std::string> shared = {"train.steps=3", "train.balance_loss=0.01", "optim.muon_dtype=f32"};
  StageSettings settings = settings_for(shared);
  run_stage(*together, FixedBatches({both}), settings, run_together.context);
  settings.accumulate = 2;
  run_stage(*apart, FixedBatches({a, b}), settings, run_apart.context);
  const std::vector<float> x = all_weights(*apart), y = all_weights(*together);
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); i++) ASSERT_NEAR(x[i], y[i], 2e-5) << i;
  for (const char* name : {"loss", "mtp_loss", "balance_loss", "grad_norm", "max_violation", "tokens"})
    EXPECT_NEAR(run_apart.last(name), run_together.last(name), 1e-4 * (1 + run_together.last(name))) << name;
}

std::vector<float> gradients_of(Transformer& model, const std::vector<Examples>& batches,
                                const LossSettings& settings) {
  model.set_training(true);
  model.zero_gradients();
  for (const Examples& batch : batches) loss_and_gradients(model, batch, settings);
  std::vector<float> all;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.role == Parameter::Role::kBuffer) continue;
    const Tensor gradient = parameter.grad();
    for (int64_t i = 0; i < gradient.count(); i++) all.push_back(float(read(gradient, offset_of(gradient, i))));
  }
  return all;
}

TEST(Stage, GradientsOfPartsAddUp) {
  const Examples a = some_examples(3, 1), b = some_examples(3, 2);
  Examples both = a;
  both.ids.insert(both.ids.end(), b.ids.begin(), b.ids.end());
  both.lengths.insert(both.lengths.end(), b.lengths.begin(), b.lengths.end());
  both.scored.insert(both.scored.end(), b.scored.begin(), b.scored.end());
  auto model = random_model(tiny_recipe());
  LossSettings settings{.mtp_weight = 0.3, .balance_weight = 0.01};
  const std::vector<float> whole = gradients_of(*model, {both}, settings);
  settings.main_tokens = 66;  // 6 sequences of 12: 11 targets each, 10 for multi-token prediction
  settings.mtp_tokens = 60;
  settings.balance_share = 0.5;
  const std::vector<float> parts = gradients_of(*model, {a, b}, settings);
  float largest = 0;
  for (float g : whole) largest = std::max(largest, std::abs(g));
  EXPECT_GT(largest, 1e-3);
  for (size_t i = 0; i < whole.size(); i++) ASSERT_NEAR(parts[i], whole[i], 1e-6 * (1 + largest)) << i;
}

// A sequence without a target weighs nothing.
TEST(Stage, TokensThatDoNotScoreDoNotCount) {
  Rng rng(3);
  std::vector<int32_t> ids(10);
  for (int32_t& id : ids) id = int32_t(rng.below(120));
  Examples scored, mixed;
  scored.add(ids, 6);
  mixed.add(ids, 6);
  mixed.add(ids, 10);
  EXPECT_EQ(scored.scored_tokens(), 4);
  EXPECT_EQ(mixed.scored_tokens(), 4);
  auto model = random_model(tiny_recipe());
  EXPECT_NEAR(loss_only(*model, scored, {}).loss, loss_only(*model, mixed, {}).loss, 1e-6);
  Examples none;
  none.add(ids, 10);
  EXPECT_EQ(loss_only(*model, none, {}).loss, 0);
}

TEST(Stage, StoppedAndResumedAtEachStepGivesTheSameBits) {
  constexpr int64_t kSteps = 5;
  const Recipe recipe = tiny_recipe();
  for (const char* optimizer : {"muon", "adamw"}) {
    const StageSettings settings =
        settings_for({"train.steps=5", "train.accumulate=1", fmt::format("optim.optimizer={}", optimizer)});
    const std::vector<Examples> batches = {some_examples(3, 1), some_examples(3, 2), some_examples(3, 3)};
    auto whole = random_model(recipe);
    StageRun uninterrupted;
    watch_interrupts();
    run_stage(*whole, FixedBatches(batches), settings, uninterrupted.context);
    const std::vector<float> expected = all_weights(*whole);
    for (int64_t stop = 0; stop < kSteps; stop++) {
      SCOPED_TRACE(fmt::format("{}, stopped in step {}", optimizer, stop + 1));
      StageRun run;
      auto model = random_model(recipe);
      const std::string message =
          error_of([&] { run_stage(*model, FixedBatches(batches, stop), settings, run.context); });
      EXPECT_EQ(message, fmt::format("interrupted after train step {}; all of it is saved: the same command with "
                                     "--resume goes on",
                                     stop + 1));
      watch_interrupts();
      const Checkpoint saved = newest_checkpoint(run.folder.path());
      EXPECT_EQ(saved.progress.stage, "train");
      EXPECT_EQ(saved.progress.step, stop + 1);
      auto resumed = load_model(saved.folder, get_backend("cpu"), DType::kF32);
      run.context.resume = saved;
      run_stage(*resumed, FixedBatches(batches), settings, run.context);
      EXPECT_EQ(all_weights(*resumed), expected);
      EXPECT_EQ(metrics_of(run.folder.path()), metrics_of(uninterrupted.folder.path()));
    }
  }
}

TEST(Stage, SavesAtItsEndAndWhereTheRecipeSays) {
  const Recipe recipe = tiny_recipe();
  auto model = random_model(recipe);
  StageRun run;
  run_stage(*model, FixedBatches({some_examples(2, 1)}), settings_for({"train.steps=3"}), run.context);
  EXPECT_EQ(newest_checkpoint(run.folder.path()).progress.step, 3);
  run.context.checkpoint.every = 2;
  run.context.resume = newest_checkpoint(run.folder.path());
  run_stage(*model, FixedBatches({some_examples(2, 1)}, 4), settings_for({"train.steps=4"}), run.context);
  EXPECT_EQ(newest_checkpoint(run.folder.path()).progress.step, 4);
}

TEST(Stage, NumbersThatAreNoneStopItBeforeTheWeights) {
  for (const int64_t bad_step : {0, 2}) {
    auto model = random_model(tiny_recipe());
    StageRun run;
    // A weight that turns to NaN while batch number bad_step is made, as a broken memory would do.
    struct Breaking : FixedBatches {
      using FixedBatches::FixedBatches;
      Transformer* model = nullptr;
      int64_t at = 0;
      mutable std::vector<float> weights;
      Examples batch(int64_t index) const override {
        if (index == at) {
          model->parameters().at(1).value().data<float>()[0] = std::nanf("");
          model->refresh();
          weights = all_weights(*model);
        }
        return FixedBatches::batch(index);
      }
    } data({some_examples(2, 1)});
    data.model = model.get();
    data.at = bad_step;
    const std::string message = error_of([&] { run_stage(*model, data, settings_for({}), run.context); });
    EXPECT_TRUE(message.starts_with(fmt::format("train step {}: the loss is nan", bad_step + 1))) << message;
    const std::vector<float> after = all_weights(*model);
    EXPECT_EQ(std::memcmp(after.data(), data.weights.data(), after.size() * sizeof(float)), 0);
    EXPECT_EQ(run.metrics.series("train", "loss").values.size(), size_t(bad_step));
  }
}

TEST(Stage, GradientsThatAreNoneStopItToo) {
  auto model = random_model(tiny_recipe());
  model->set_training(true);
  Optimizer optimizer(model->parameters(), {});
  const std::vector<float> before = all_weights(*model);
  model->parameters().at(2).grad().data<float>()[0] = INFINITY;
  EXPECT_NE(error_of([&] { apply_update(*model, optimizer, 1, 1); }).find("the gradient's norm is inf"),
            std::string::npos);
  EXPECT_EQ(all_weights(*model), before);
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Stage, SummaryAddsUpTheRecords) {
  TempFolder folder;
  MetricsWriter metrics(folder.path());
  metrics.write("train", 0, {});
  metrics.write("train", 1, {{"tokens", 100}, {"flops", 1e6}});
  metrics.write("train", 2, {{"tokens", 50}, {"flops", 1e6}});
  metrics.write("sft", 0, {});
  metrics.write("sft", 1, {{"tokens", 7}});
  const StageSummary summary = stage_summary(metrics, "train", 1e9);
  EXPECT_EQ(summary.steps, 2);
  EXPECT_EQ(summary.tokens, 150);
  EXPECT_NEAR(summary.seconds, metrics.records()[2].wall - metrics.records()[0].wall, 1e-12);
  ASSERT_TRUE(summary.peak_share);
  EXPECT_NEAR(*summary.peak_share, 2e6 / summary.seconds / 1e9, 1e-9);
  EXPECT_EQ(stage_summary(metrics, "sft", 1e9).tokens, 7);
  EXPECT_FALSE(stage_summary(metrics, "sft", 1e9).peak_share);
  EXPECT_EQ(stage_summary(metrics, "rl", 1e9).steps, 0);
}

TEST(TrainerState, BrokenFilesAreNamed) {
  auto model = random_model(tiny_recipe());
  model->set_training(true);
  Optimizer optimizer(model->parameters(), {});
  TempFolder folder;
  write_state(folder.path(), copy_state(*model, optimizer, {"sft", 3}));
  EXPECT_EQ(read_progress(folder.path()).step, 3);
  const Path state = folder / "trainer_state";
  const std::string good = read_file(state / "state.json");
  for (const char* text :
       {"", "{", "[]", "7", "{\"stage\": 1, \"step\": 2}", "{\"stage\": \"rl\", \"step\": -1}",
        "{\"stage\": \"rl\", \"step\": 1e300}", "{\"stage\": \"rl\"}", "{\"stage\": \"serve\", \"step\": 1}"}) {
    write_file(state / "state.json", text);
    EXPECT_NE(error_of([&] { read_progress(folder.path()); }).find("state.json"), std::string::npos) << text;
  }
  write_file(state / "state.json", good);
  const std::string tensors = read_file(state / "optimizer.safetensors");
  write_file(state / "optimizer.safetensors", tensors.substr(0, tensors.size() - 1));
  EXPECT_NE(error_of([&] { load_optimizer(folder.path(), optimizer); }).find("optimizer.safetensors"),
            std::string::npos);
  write_file(state / "optimizer.safetensors", tensors);
  Optimizer other(model->parameters(), {.kind = OptimizerOptions::Kind::kAdamW});
  EXPECT_NE(error_of([&] { load_optimizer(folder.path(), other); }).find("optimizer.safetensors"), std::string::npos);
}

TEST(TrainerState, ExpertLoads) {
  TempFolder folder;
  EXPECT_TRUE(read_expert_loads(folder.path()).empty());
  add_expert_load(folder.path(), {"train", {1}, {{2, 2}}});
  add_expert_load(folder.path(), {"sft", {1}, {{1, 1}}});
  add_expert_load(folder.path(), {"train", {1, 2}, {{0.5, 1.5}, {1, 1}}});
  std::vector<ExpertLoad> loads = read_expert_loads(folder.path());
  ASSERT_EQ(loads.size(), 2u);
  EXPECT_EQ(loads[0].stage, "sft");
  loads.erase(loads.begin());
  EXPECT_EQ(loads[0].stage, "train");
  EXPECT_EQ(loads[0].layers, (std::vector<int>{1, 2}));
  EXPECT_EQ(loads[0].loads, (std::vector<std::vector<double>>{{0.5, 1.5}, {1, 1}}));
  for (const char* text : {"{\"a\": 1}", "[1]", "[{\"stage\": 1, \"layers\": [], \"loads\": []}]",
                           "[{\"stage\": \"a\", \"layers\": {}, \"loads\": [1]}]"}) {
    write_file(folder / "expert_load.json", text);
    EXPECT_NE(error_of([&] { read_expert_loads(folder.path()); }).find("expert_load.json: expected"), std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace tenth::testing
